/*
 * The limit: what this machine can do at all. Reads a file and PUTs it in parts, over and over nothing
 * but pread and write (plain) or SSL_write (TLS 1.3, verified against a CA).
 *
 *   client URL FILE [--ca FILE] [--part-mib 64] [--threads 4] [--chunk-kib 1024]
 *
 * Prints one JSON line: seconds, bytes and cpu_s (user + system) of the transfer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int file, port;
static int64_t file_size, part_size = 64 << 20;
static in_addr_t host;
static size_t chunk = 1 << 20;
static SSL_CTX *tls;
static atomic_long next_part;

typedef struct {
    int fd;
    SSL *ssl;
} Conn;

static void die(const char *what) {
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static Conn dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = host};
    Conn c = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    int on = 1;
    if (c.fd < 0 || connect(c.fd, (void *)&to, sizeof to)) die("connect");
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!tls) return c;
    c.ssl = SSL_new(tls);
    SSL_set_fd(c.ssl, c.fd);
    SSL_set_tlsext_host_name(c.ssl, "localhost");
    if (!SSL_set1_host(c.ssl, "localhost") || SSL_connect(c.ssl) != 1) die("handshake");
    return c;
}

static void put(Conn *c, const char *from, size_t n) {
    while (n) {
        ssize_t sent = c->ssl ? SSL_write(c->ssl, from, (int)n) : write(c->fd, from, n);
        if (sent <= 0) die("write");
        from += sent, n -= (size_t)sent;
    }
}

static void expect_200(Conn *c) {
    char text[4096];
    size_t have = 0;
    while (have < sizeof text - 1) {
        size_t room = sizeof text - 1 - have;
        ssize_t got = c->ssl ? SSL_read(c->ssl, text + have, (int)room) : read(c->fd, text + have, room);
        if (got <= 0) die("answer");
        text[have += (size_t)got] = 0;
        if (strstr(text, "\r\n\r\n")) break; /* the sink's answer to a PUT has no body */
    }
    if (strncmp(text, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "%s\n", text);
        exit(1);
    }
}

static void put_part(Conn *c, char *buffer, int64_t no) {
    int64_t at = no * part_size, end = at + part_size < file_size ? at + part_size : file_size;
    char head[200];
    int n = snprintf(head, sizeof head, "PUT /put/0/%ld HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: %ld\r\n\r\n",
                     (long)no, port, (long)(end - at));
    put(c, head, (size_t)n);
    while (at < end) {
        size_t want = (int64_t)chunk < end - at ? chunk : (size_t)(end - at);
        ssize_t got = pread(file, buffer, want, at);
        if (got <= 0) die("pread");
        put(c, buffer, (size_t)got);
        at += got;
    }
    expect_200(c);
}

static void *work(void *arg) {
    (void)arg;
    char *buffer = aligned_alloc(4096, chunk);
    Conn c = dial();
    long parts = (long)((file_size + part_size - 1) / part_size), no;
    while ((no = atomic_fetch_add(&next_part, 1)) < parts) put_part(&c, buffer, no);
    if (c.ssl) SSL_free(c.ssl);
    close(c.fd);
    free(buffer);
    return NULL;
}

static double cpu_s(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void open_tls(const char *ca) {
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_locations(tls, ca, NULL) != 1) die(ca);
}

int main(int argc, char **argv) {
    pthread_t threads[64];
    int count = 4;
    struct stat st;
    if (argc < 3) return fprintf(stderr, "usage: client URL FILE [--ca FILE] ...\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--ca")) open_tls(argv[i + 1]);
        if (!strcmp(argv[i], "--part-mib")) part_size = atoll(argv[i + 1]) << 20;
        if (!strcmp(argv[i], "--threads")) count = atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--chunk-kib")) chunk = (size_t)atoll(argv[i + 1]) << 10;
    }
    char name[64] = "";
    sscanf(argv[1], "%*[^:]://%63[^:/]", name);
    host = inet_addr(name); /* "localhost" is no address */
    if (host == INADDR_NONE) host = htonl(INADDR_LOOPBACK);
    port = atoi(strrchr(argv[1], ':') + 1);
    file = open(argv[2], O_RDONLY);
    if (file < 0 || fstat(file, &st)) die(argv[2]);
    file_size = st.st_size;
    double start = now_s(), cpu = cpu_s();
    for (int i = 0; i < count && i < 64; i++) pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < count && i < 64; i++) pthread_join(threads[i], NULL);
    printf("{\"seconds\": %.4f, \"bytes\": %ld, \"cpu_s\": %.4f}\n", now_s() - start, (long)file_size, cpu_s() - cpu);
    return 0;
}
