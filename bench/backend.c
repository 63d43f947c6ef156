/*
 * The backend every measured proxy talks to: one thread, epoll, HTTP/1.1 with keep-alive, answers ready in memory.
 *
 * It exists to be cheaper than any proxy in front of it, so that the proxy is what is measured. It is no general server:
 * it trusts its peer to send well-formed requests with at most a Content-Length body (read and thrown away), heads of at
 * most 64 KiB, no chunked bodies.
 *
 *   /         12 bytes        /10k  10 KiB      /100k  100 KiB      /1m  1 MiB
 *   /-/count  how many other requests were answered so far: the second witness of every measurement
 *   anything else is answered like /
 *
 * usage: backend PORT [COUNT]: on the addresses 127.0.0.1, 127.0.0.2 and so on, COUNT of them, which a proxy takes for so many endpoints
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_LIMIT = 65536, EVENTS = 512, MAX_ADDRESSES = 1000 };

struct answer {
    char *bytes; /* head and body in one piece */
    size_t length;
};

struct connection {
    int fd;
    int close_after;  /* the request said Connection: close */
    int wants_write;  /* EPOLLOUT is armed */
    uint64_t discard; /* body bytes still to be thrown away */
    const char *out;  /* rest of the answer being sent; NULL when none */
    size_t out_length;
    char counted[160]; /* the answer to /-/count */
    size_t used;
    char in[HEAD_LIMIT];
};

static struct answer small[2], ten[2], hundred[2], mega[2]; /* [1] also says Connection: close */
static uint64_t answered;
static int loop, listeners[MAX_ADDRESSES];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct answer prepare(size_t body, const char *text, int closes) {
    struct answer answer;
    char head[160];
    int head_length = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%sContent-Length: %zu\r\n\r\n",
                               closes ? "Connection: close\r\n" : "", body);
    answer.length = (size_t)head_length + body;
    answer.bytes = malloc(answer.length);
    if (answer.bytes == NULL) die("malloc");
    memcpy(answer.bytes, head, (size_t)head_length);
    for (size_t i = 0; i < body; i++) answer.bytes[(size_t)head_length + i] = text != NULL ? text[i] : (char)('a' + i % 26);
    return answer;
}

static void drop(struct connection *c) {
    close(c->fd);
    free(c);
}

/* Value of a header line in a head that ends with an empty line, or NULL. Names compare without case. */
static const char *field(const char *head, const char *end, const char *name, size_t name_length) {
    const char *line = memchr(head, '\n', (size_t)(end - head));
    while (line != NULL && line + 1 + name_length < end) {
        line++;
        if (line[name_length] == ':' && strncasecmp(line, name, name_length) == 0) {
            const char *value = line + name_length + 1;
            while (*value == ' ' || *value == '\t') value++;
            return value;
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    return NULL;
}

/* Sends what is pending. 1: all gone, 0: the socket is full, -1: the connection was dropped. */
static int flush_out(struct connection *c) {
    while (c->out_length > 0) {
        ssize_t n = send(c->fd, c->out, c->out_length, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) {
                drop(c);
                return -1;
            }
            if (!c->wants_write) {
                struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
                epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &event);
                c->wants_write = 1;
            }
            return 0;
        }
        c->out += n;
        c->out_length -= (size_t)n;
    }
    c->out = NULL;
    if (c->close_after) {
        drop(c);
        return -1;
    }
    if (c->wants_write) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &event);
        c->wants_write = 0;
    }
    return 1;
}

static void choose_answer(struct connection *c, const char *path) {
    const struct answer *answer = &small[c->close_after];
    if (strncmp(path, "/10k ", 5) == 0) answer = &ten[c->close_after];
    else if (strncmp(path, "/100k ", 6) == 0) answer = &hundred[c->close_after];
    else if (strncmp(path, "/1m ", 4) == 0) answer = &mega[c->close_after];
    else if (strncmp(path, "/-/count ", 9) == 0) {
        char digits[24];
        int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)answered);
        c->out_length = (size_t)snprintf(c->counted, sizeof c->counted, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, digits);
        c->out = c->counted;
        return;
    }
    answered++;
    c->out = answer->bytes;
    c->out_length = answer->length;
}

/* Answers every whole request in the buffer, one after another. */
static void serve(struct connection *c) {
    while (c->out == NULL) {
        char *end = c->used >= 4 ? memmem(c->in, c->used, "\r\n\r\n", 4) : NULL;
        if (end == NULL) {
            if (c->used == HEAD_LIMIT) drop(c);
            return;
        }
        end += 4;
        const char *path = memchr(c->in, ' ', (size_t)(end - c->in));
        if (path == NULL) {
            drop(c);
            return;
        }
        const char *length = field(c->in, end, "content-length", 14);
        const char *close_wanted = field(c->in, end, "connection", 10);
        c->discard = length != NULL ? strtoull(length, NULL, 10) : 0;
        c->close_after = close_wanted != NULL && strncasecmp(close_wanted, "close", 5) == 0;
        choose_answer(c, path + 1);
        c->used -= (size_t)(end - c->in);
        memmove(c->in, end, c->used);
        /* the body goes first: an answer before the end of the upload would make some proxies close */
        if (c->discard > c->used) {
            c->discard -= c->used;
            c->used = 0;
            return;
        }
        if (c->discard > 0) {
            c->used -= (size_t)c->discard;
            memmove(c->in, c->in + c->discard, c->used);
            c->discard = 0;
        }
        if (flush_out(c) != 1) return;
    }
}

static void readable(struct connection *c) {
    ssize_t n = recv(c->fd, c->in + c->used, HEAD_LIMIT - c->used, 0);
    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        drop(c);
        return;
    }
    c->used += (size_t)n;
    if (c->out != NULL) { /* an answer waits for the end of this body */
        size_t gone = c->used < c->discard ? c->used : (size_t)c->discard;
        c->discard -= gone;
        c->used -= gone;
        memmove(c->in, c->in + gone, c->used);
        if (c->discard > 0 || flush_out(c) != 1) return;
    }
    serve(c);
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = malloc(sizeof *c);
        if (c == NULL) die("malloc");
        c->fd = fd;
        c->close_after = c->wants_write = 0;
        c->discard = 0;
        c->out = NULL;
        c->out_length = c->used = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: backend PORT [COUNT]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int closes = 0; closes < 2; closes++) {
        small[closes] = prepare(12, "hello world\n", closes);
        ten[closes] = prepare(10 * 1024, NULL, closes);
        hundred[closes] = prepare(100 * 1024, NULL, closes);
        mega[closes] = prepare(1024 * 1024, NULL, closes);
    }
    int count = argc > 2 ? atoi(argv[2]) : 1, one = 1;
    if (count < 1 || count > MAX_ADDRESSES) {
        fprintf(stderr, "1 to %d addresses\n", MAX_ADDRESSES);
        return 2;
    }
    loop = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        int listener = listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)i)};
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
        if (listen(listener, 4096) < 0) die("listen");
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listeners[i]};
        if (epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    }
    struct epoll_event ready[EVENTS];
    for (;;) {
        int n = epoll_wait(loop, ready, EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct connection *c = ready[i].data.ptr;
            int *listener = ready[i].data.ptr;
            if (listener >= listeners && listener < listeners + count) accept_all(*listener);
            else if (c->out != NULL && c->discard == 0) {
                if (flush_out(c) == 1) serve(c);
            } else readable(c);
        }
    }
}
