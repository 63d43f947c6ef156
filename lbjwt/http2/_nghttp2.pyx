"""
The functions of libnghttp2, out of the library that `ngh2` has in its wheels.

ngh2 is libnghttp2 for Python, and links it into its extension, which exports it. Its Python objects for each event and field cost more than the
engine itself, so they are left aside. This depends on how ngh2 was built, so its version is pinned, and a library without these functions is refused
when lbjwt starts, not when the first client comes.
"""

import os

import ngh2
import ngh2._core

cdef extern from "<dlfcn.h>" nogil:
    void *dlopen(const char *path, int flags)
    void *dlsym(void *library, const char *name)
    int RTLD_NOW
    int RTLD_LOCAL


cdef void *_library = NULL


cdef int _find(const char *name, void **function) except -1:
    function[0] = dlsym(_library, name)
    if function[0] == NULL:
        _refuse(f"does not export {name.decode()}")
    return 0


cdef int _refuse(str fault) except -1:
    raise ImportError(
        f"{ngh2._core.__file__} (ngh2 {ngh2.__version__}) {fault}: lbjwt speaks HTTP/2 with the libnghttp2 in the wheels of ngh2. "
        "Install ngh2==0.3.0")


cdef int _load() except -1:
    global _library
    path = os.fsencode(ngh2._core.__file__)
    _library = dlopen(path, RTLD_NOW | RTLD_LOCAL)       # it is loaded already
    if _library == NULL:
        _refuse("cannot be opened")
    _find(b"nghttp2_session_callbacks_new", <void **>&nghttp2.callbacks_new)
    _find(b"nghttp2_session_callbacks_set_send_callback2", <void **>&nghttp2.set_send)
    _find(b"nghttp2_session_callbacks_set_send_data_callback", <void **>&nghttp2.set_send_data)
    _find(b"nghttp2_session_callbacks_set_on_frame_send_callback", <void **>&nghttp2.set_frame_sent)
    _find(b"nghttp2_session_callbacks_set_on_frame_not_send_callback", <void **>&nghttp2.set_frame_not_sent)
    _find(b"nghttp2_session_callbacks_set_on_begin_headers_callback", <void **>&nghttp2.set_begin_fields)
    _find(b"nghttp2_session_callbacks_set_on_header_callback", <void **>&nghttp2.set_field)
    _find(b"nghttp2_session_callbacks_set_on_invalid_header_callback", <void **>&nghttp2.set_invalid_field)
    _find(b"nghttp2_session_callbacks_set_on_data_chunk_recv_callback", <void **>&nghttp2.set_chunk)
    _find(b"nghttp2_session_callbacks_set_on_frame_recv_callback", <void **>&nghttp2.set_frame)
    _find(b"nghttp2_session_callbacks_set_on_stream_close_callback", <void **>&nghttp2.set_close)
    _find(b"nghttp2_session_callbacks_set_rand_callback", <void **>&nghttp2.set_random)
    _find(b"nghttp2_option_new", <void **>&nghttp2.option_new)
    _find(b"nghttp2_option_del", <void **>&nghttp2.option_del)
    _find(b"nghttp2_option_set_no_auto_window_update", <void **>&nghttp2.no_auto_window_update)
    _find(b"nghttp2_option_set_max_send_header_block_length", <void **>&nghttp2.max_send_header_block_length)
    _find(b"nghttp2_option_set_max_continuations", <void **>&nghttp2.max_continuations)
    _find(b"nghttp2_option_set_stream_reset_rate_limit", <void **>&nghttp2.stream_reset_rate_limit)
    _find(b"nghttp2_option_set_glitch_rate_limit", <void **>&nghttp2.glitch_rate_limit)
    _find(b"nghttp2_session_server_new2", <void **>&nghttp2.server_new)
    _find(b"nghttp2_session_client_new2", <void **>&nghttp2.client_new)
    _find(b"nghttp2_session_del", <void **>&nghttp2.delete)
    _find(b"nghttp2_session_mem_recv2", <void **>&nghttp2.receive)
    _find(b"nghttp2_session_send", <void **>&nghttp2.send)
    _find(b"nghttp2_session_want_read", <void **>&nghttp2.wants_read)
    _find(b"nghttp2_session_want_write", <void **>&nghttp2.wants_write)
    _find(b"nghttp2_session_consume", <void **>&nghttp2.consume)
    _find(b"nghttp2_session_set_local_window_size", <void **>&nghttp2.set_local_window)
    _find(b"nghttp2_session_resume_data", <void **>&nghttp2.resume_data)
    _find(b"nghttp2_session_get_stream_user_data", <void **>&nghttp2.stream_data)
    _find(b"nghttp2_session_set_stream_user_data", <void **>&nghttp2.set_stream_data)
    _find(b"nghttp2_session_get_remote_settings", <void **>&nghttp2.remote_setting)
    _find(b"nghttp2_session_get_last_proc_stream_id", <void **>&nghttp2.last_processed)
    _find(b"nghttp2_session_check_request_allowed", <void **>&nghttp2.may_request)
    _find(b"nghttp2_session_terminate_session", <void **>&nghttp2.terminate)
    _find(b"nghttp2_submit_settings", <void **>&nghttp2.submit_settings)
    _find(b"nghttp2_submit_request2", <void **>&nghttp2.submit_request)
    _find(b"nghttp2_submit_response2", <void **>&nghttp2.submit_response)
    _find(b"nghttp2_submit_headers", <void **>&nghttp2.submit_headers)
    _find(b"nghttp2_submit_trailer", <void **>&nghttp2.submit_trailer)
    _find(b"nghttp2_submit_rst_stream", <void **>&nghttp2.submit_reset)
    _find(b"nghttp2_submit_ping", <void **>&nghttp2.submit_ping)
    _find(b"nghttp2_submit_goaway", <void **>&nghttp2.submit_goaway)
    _find(b"nghttp2_submit_shutdown_notice", <void **>&nghttp2.submit_shutdown_notice)
    return 0


_load()
