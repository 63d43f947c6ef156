"""
An answer of our own. Knows nothing of who gets it or why.
"""

from http import HTTPStatus


cdef class Answer:

    def __init__(self, int status, bytes fields, bytes body):
        self.status = status
        self.head = b"HTTP/1.1 %d %b\r\nServer: lbjwt\r\n%b" % (status, HTTPStatus(status).phrase.encode(), fields)
        self.body = body
