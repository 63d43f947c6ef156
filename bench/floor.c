/*
 * The floor: what a relay costs that does nothing at all.
 *
 * One thread, epoll, one backend connection per client connection, bytes copied through user space, nothing parsed and
 * nothing checked. Any proxy that reads the request must pay this and more; the difference is the price of its work.
 *
 * usage: floor PORT BACKEND_PORT
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 65536, EVENTS = 512 };

struct side {
    int fd;
    int at_end;         /* nothing more comes from here; close once the other side has it all */
    uint32_t armed;     /* events epoll watches */
    char *rest;         /* bytes the socket did not take yet; NULL when none */
    size_t rest_at, rest_length;
    struct side *other;
    struct pair *pair;
};

struct pair {
    struct side client, backend;
    int dead; /* closed in this round of events: skip what epoll still says about it, free it after the round */
    struct pair *next_dead;
};

static int loop;
static struct pair *graveyard;
static char shared[BUFFER];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void bury(struct pair *pair) {
    if (pair->dead) return;
    pair->dead = 1;
    close(pair->client.fd);
    close(pair->backend.fd);
    pair->next_dead = graveyard;
    graveyard = pair;
}

static void arm(struct side *side, uint32_t events) {
    if (side->armed == events) return;
    struct epoll_event event = {.events = events, .data.ptr = side};
    epoll_ctl(loop, EPOLL_CTL_MOD, side->fd, &event);
    side->armed = events;
}

static void readable(struct side *from) {
    struct side *to = from->other;
    ssize_t n = recv(from->fd, shared, BUFFER, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        from->at_end = 1;
        if (to->rest == NULL) bury(from->pair);
        else arm(from, 0);
        return;
    }
    ssize_t sent = send(to->fd, shared, (size_t)n, MSG_NOSIGNAL);
    if (sent == n) return;
    if (sent < 0) {
        if (errno != EAGAIN) {
            bury(from->pair);
            return;
        }
        sent = 0;
    }
    to->rest_length = (size_t)(n - sent);
    to->rest_at = 0;
    to->rest = malloc(to->rest_length);
    if (to->rest == NULL) die("malloc");
    memcpy(to->rest, shared + sent, to->rest_length);
    arm(from, from->armed & ~(uint32_t)EPOLLIN); /* back-pressure: read no more until this is gone */
    arm(to, to->armed | EPOLLOUT);
}

static void writable(struct side *to) {
    ssize_t sent = send(to->fd, to->rest + to->rest_at, to->rest_length, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) bury(to->pair);
        return;
    }
    to->rest_at += (size_t)sent;
    to->rest_length -= (size_t)sent;
    if (to->rest_length > 0) return;
    free(to->rest);
    to->rest = NULL;
    if (to->other->at_end) {
        bury(to->pair);
        return;
    }
    arm(to, to->armed & ~(uint32_t)EPOLLOUT);
    arm(to->other, to->other->armed | EPOLLIN);
}

static void watch(struct side *side, int fd, struct side *other, struct pair *pair) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    side->fd = fd;
    side->other = other;
    side->pair = pair;
    side->armed = EPOLLIN;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = side};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void accept_all(int listener, const struct sockaddr_in *target) {
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) return;
        int backend = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (backend < 0) die("socket");
        if (connect(backend, (const struct sockaddr *)target, sizeof *target) < 0 && errno != EINPROGRESS) {
            close(client);
            close(backend);
            continue;
        }
        struct pair *pair = calloc(1, sizeof *pair);
        if (pair == NULL) die("calloc");
        watch(&pair->client, client, &pair->backend, pair);
        watch(&pair->backend, backend, &pair->client, pair);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: floor PORT BACKEND_PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in target = own;
    target.sin_port = htons((uint16_t)atoi(argv[2]));
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) < 0) die("bind");
    if (listen(listener, 4096) < 0) die("listen");
    loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[EVENTS];
    if (epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    for (;;) {
        int n = epoll_wait(loop, ready, EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct side *side = ready[i].data.ptr;
            if (side == NULL) {
                accept_all(listener, &target);
                continue;
            }
            if (side->pair->dead) continue;
            if (ready[i].events & EPOLLOUT && side->rest != NULL) writable(side);
            else if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                if (side->armed & EPOLLIN) readable(side);
                else if (ready[i].events & (EPOLLHUP | EPOLLERR)) bury(side->pair);
            }
        }
        while (graveyard != NULL) {
            struct pair *gone = graveyard;
            graveyard = gone->next_dead;
            free(gone->client.rest);
            free(gone->backend.rest);
            free(gone);
        }
    }
}
