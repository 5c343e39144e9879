/*
 * A sink: as much of CDF and of an object store as an upload meets, at next to no cost.
 *
 *   sink [--cert FILE --key FILE] [--api-latency-ms N] [--storage-latency-ms N] [--decrypt] [--bind ADDRESS]
 *
 * Prints one line, `{"api": "http://127.0.0.1:P", "storage": "http://127.0.0.1:Q"}`, then serves until
 * its standard input ends. It keeps the length of every part it was sent, and none of the bytes: what it
 * gives back is one MiB of noise, again and again.
 *
 * It shares the machine with what it measures, so it must not take the machine from it:
 *   - a thread per connection, blocking calls, keep-alive;
 *   - bodies are dropped inside the kernel (recv with MSG_TRUNC copies nothing);
 *   - over TLS 1.3 OpenSSL shakes hands and sends the answers, but the records that carry a body are
 *     counted by their headers and dropped still encrypted. A client cannot tell. `--decrypt` opens and
 *     authenticates each of them instead: that is what a server on the same machine would cost.
 *
 * Latency is a sleep: one round trip before each answer, one for the TCP handshake that loopback made
 * too fast, one for the TLS handshake.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { HEAD = 32 << 10, BODY = 256 << 10, RECORD = (16 << 10) + 256, LAZY = 256 << 10, FILES = 1 << 18, PARTS = 250,
       ANSWER = 4 << 20, PIECE = 1 << 20 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void nap_ms(int ms) {
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    while (ms > 0 && nanosleep(&t, &t) && errno == EINTR) {}
}

/* ---- what was uploaded: per file the length of each part ------------------------------------- */

typedef struct {
    char name[512], external_id[512]; /* as JSON strings, quotes and escapes as they came */
    int parts;
    _Atomic int64_t *sizes;
} File;

static File files[FILES]; /* a file's id is its place here; 0 is no file */
static atomic_int file_count = 1;

static File *find_file(long id) {
    return id > 0 && id < FILES && id < atomic_load(&file_count) ? &files[id] : NULL;
}

static unsigned char piece[PIECE]; /* what is given back, again and again */
static _Atomic int64_t all_received; /* bytes of all bodies that arrived whole: GET /received says */

static int64_t received(File *file) {
    int64_t sum = 0;
    for (int i = 0; i < file->parts; i++) sum += atomic_load(&file->sizes[i]);
    return sum;
}

/* ---- settings --------------------------------------------------------------------------------- */

typedef struct {
    int fd, port, latency_ms;
} Door;

static Door api, storage;
static SSL_CTX *tls; /* NULL: plain */
static bool decrypt;
static const char *scheme = "http", *address = "127.0.0.1";

/* ---- a connection, plain or TLS --------------------------------------------------------------- */

typedef struct {
    Door *door;
    int fd;
    SSL *ssl;
    /* The client's half of TLS 1.3, which this program reads by itself. */
    unsigned char secret[64], iv[12];
    int secret_size;
    uint64_t seq;
    EVP_CIPHER_CTX *aead;
    /* Bytes that were read (and decrypted) but not yet used. */
    unsigned char buf[HEAD + RECORD];
    size_t at, end;
    unsigned char record[RECORD], opened[RECORD];
    unsigned char body[BODY], text[BODY];
} Conn;

static bool recv_exactly(Conn *c, void *to, size_t n) {
    for (size_t got = 0; got < n;) {
        ssize_t r = recv(c->fd, (char *)to + got, n - got, MSG_WAITALL);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return false;
        got += (size_t)r;
    }
    return true;
}

/* Throw away at most n bytes of the socket without copying them. How many, or -1. */
static int64_t drop(Conn *c, uint64_t n) {
    for (;;) {
        ssize_t r = recv(c->fd, c->buf, n < (4 << 20) ? n : (4 << 20), MSG_TRUNC);
        if (r > 0) return r;
        if (r == 0 || errno != EINTR) return -1;
    }
}

static void keylog(const SSL *ssl, const char *line) {
    Conn *c = SSL_get_app_data(ssl);
    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24)) return;
    const char *hex = strrchr(line, ' ') + 1;
    for (c->secret_size = 0; hex[0] && hex[1] && c->secret_size < 64; hex += 2)
        sscanf(hex, "%2hhx", &c->secret[c->secret_size++]);
}

/* RFC 8446, 7.1: HKDF-Expand-Label(secret, label, "", size). */
static void expand(Conn *c, const EVP_MD *md, const char *label, unsigned char *out, size_t size) {
    unsigned char info[64];
    size_t n = strlen(label), at = 0;
    info[at++] = 0, info[at++] = (unsigned char)size, info[at++] = (unsigned char)(6 + n);
    memcpy(info + at, "tls13 ", 6), at += 6;
    memcpy(info + at, label, n), at += n;
    info[at++] = 0;
    EVP_PKEY_CTX *k = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    if (EVP_PKEY_derive_init(k) <= 0 || EVP_PKEY_CTX_hkdf_mode(k, EVP_PKEY_HKDEF_MODE_EXPAND_ONLY) <= 0 ||
        EVP_PKEY_CTX_set_hkdf_md(k, md) <= 0 ||
        EVP_PKEY_CTX_set1_hkdf_key(k, c->secret, c->secret_size) <= 0 ||
        EVP_PKEY_CTX_add1_hkdf_info(k, info, (int)at) <= 0 || EVP_PKEY_derive(k, out, &size) <= 0)
        die("hkdf");
    EVP_PKEY_CTX_free(k);
}

static bool shake_hands(Conn *c) {
    c->ssl = SSL_new(tls);
    SSL_set_app_data(c->ssl, c);
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_accept(c->ssl) != 1 || !c->secret_size) {
        ERR_clear_error();
        return false;
    }
    const SSL_CIPHER *suite = SSL_get_current_cipher(c->ssl);
    const EVP_CIPHER *cipher = EVP_get_cipherbynid(SSL_CIPHER_get_cipher_nid(suite));
    const EVP_MD *md = SSL_CIPHER_get_handshake_digest(suite);
    unsigned char key[32];
    expand(c, md, "key", key, (size_t)EVP_CIPHER_get_key_length(cipher));
    expand(c, md, "iv", c->iv, sizeof c->iv);
    c->aead = EVP_CIPHER_CTX_new();
    return EVP_DecryptInit_ex(c->aead, cipher, NULL, key, NULL) == 1;
}

/* Decrypt one record, c->record[0..size), into `to`. Bytes of plaintext, or -1 when it is not data. */
static int open_record(Conn *c, const unsigned char header[5], int size, unsigned char *to) {
    unsigned char nonce[12];
    int n = 0, last = 0;
    memcpy(nonce, c->iv, 12);
    for (int i = 0; i < 8; i++) nonce[11 - i] ^= (unsigned char)(c->seq >> (8 * i));
    c->seq++;
    if (EVP_DecryptInit_ex(c->aead, NULL, NULL, NULL, nonce) != 1 ||
        EVP_CIPHER_CTX_ctrl(c->aead, EVP_CTRL_AEAD_SET_TAG, 16, c->record + size - 16) != 1 ||
        EVP_DecryptUpdate(c->aead, NULL, &n, header, 5) != 1 ||
        EVP_DecryptUpdate(c->aead, to, &n, c->record, size - 16) != 1 ||
        EVP_DecryptFinal_ex(c->aead, to + n, &last) != 1)
        return -1;
    while (n > 0 && to[n - 1] == 0) n--; /* padding */
    return n > 0 && to[n - 1] == SSL3_RT_APPLICATION_DATA ? n - 1 : -1;
}

static int next_record(Conn *c, unsigned char header[5]) {
    if (!recv_exactly(c, header, 5) || header[0] != SSL3_RT_APPLICATION_DATA) return -1;
    int size = header[3] << 8 | header[4];
    return size >= 17 && size <= RECORD ? size : -1;
}

/* Some more bytes behind c->end. */
static bool fill(Conn *c) {
    if (c->at == c->end) c->at = c->end = 0;
    if (c->end >= HEAD) return false;
    if (!c->ssl) {
        ssize_t r = recv(c->fd, c->buf + c->end, HEAD - c->end, 0);
        if (r <= 0) return false;
        c->end += (size_t)r;
        return true;
    }
    unsigned char header[5];
    int size = next_record(c, header);
    if (size < 0 || !recv_exactly(c, c->record, (size_t)size)) return false;
    int n = open_record(c, header, size, c->buf + c->end);
    if (n < 0) return false;
    c->end += (size_t)n;
    return true;
}

/* Be woken only when this many bytes are there: a wake-up per packet would cost more than the bytes. */
static void wake_at(Conn *c, int bytes) {
    setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

/* Throw away a record that carries some of the next n bytes of a body. How many, or -1. */
static int64_t drop_record(Conn *c, uint64_t n) {
    unsigned char header[5];
    int size = next_record(c, header), plain = size - 17;
    if (size < 0) return -1;
    if (!decrypt && (uint64_t)plain <= n) { /* its sender pads nothing: OpenSSL's default */
        for (int64_t left = size, r; left; left -= r)
            if ((r = drop(c, (uint64_t)left)) < 0) return -1;
        c->seq++;
        return plain;
    }
    if (!recv_exactly(c, c->record, (size_t)size)) return -1;
    if ((plain = open_record(c, header, size, c->opened)) < 0) return -1;
    if ((uint64_t)plain <= n) return plain;
    memcpy(c->buf, c->opened + n, (size_t)plain - n); /* the next request begins in this record */
    c->at = 0, c->end = (size_t)plain - n;
    return (int64_t)n;
}

/* Throw away n bytes of a body. */
static bool skip(Conn *c, uint64_t n) {
    uint64_t have = c->end - c->at, now = have < n ? have : n;
    bool lazy = false;
    c->at += now, n -= now;
    while (n) {
        if (lazy != (n > 2 * LAZY)) wake_at(c, (lazy = !lazy) ? LAZY : 1);
        int64_t gone = c->ssl ? drop_record(c, n) : drop(c, n - (lazy ? LAZY : 0));
        if (gone < 0) return false;
        n -= (uint64_t)gone;
    }
    return true;
}

static bool take(Conn *c, unsigned char *to, size_t n) {
    for (size_t got = 0; got < n;) {
        if (c->at == c->end && !fill(c)) return false;
        size_t have = c->end - c->at, now = have < n - got ? have : n - got;
        memcpy(to + got, c->buf + c->at, now);
        c->at += now, got += now;
    }
    return true;
}

static bool put(Conn *c, const char *text, size_t n) {
    if (c->ssl) return SSL_write(c->ssl, text, (int)n) == (int)n;
    return send(c->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* ---- HTTP ------------------------------------------------------------------------------------- */

typedef struct {
    char method[16], path[512];
    uint64_t length;
    bool chunked, gzip, close;
    long first, last; /* of a Range; -1: none */
    char *json; /* the body of a request to the API, as text */
} Request;

static bool read_head(Conn *c, Request *r) {
    char *end = NULL;
    for (;;) {
        c->buf[c->end] = 0;
        if (c->end > c->at && (end = strstr((char *)c->buf + c->at, "\r\n\r\n"))) break;
        if (c->at) {
            memmove(c->buf, c->buf + c->at, c->end - c->at);
            c->end -= c->at, c->at = 0;
        }
        if (!fill(c)) return false;
    }
    *end = 0;
    char *line = (char *)c->buf + c->at, *rest = NULL;
    c->at = (size_t)(end + 4 - (char *)c->buf);
    *r = (Request){.first = -1, .last = -1, .json = ""};
    line = strtok_r(line, "\r\n", &rest);
    if (!line || sscanf(line, "%15s %511s", r->method, r->path) != 2) return false;
    while ((line = strtok_r(NULL, "\r\n", &rest))) {
        if (!strncasecmp(line, "content-length:", 15)) r->length = strtoull(line + 15, NULL, 10);
        if (!strncasecmp(line, "transfer-encoding:", 18)) r->chunked = strcasestr(line, "chunked");
        if (!strncasecmp(line, "content-encoding:", 17)) r->gzip = strcasestr(line, "gzip");
        if (!strncasecmp(line, "connection:", 11)) r->close = strcasestr(line, "close");
        if (!strncasecmp(line, "range:", 6)) sscanf(line + 6, " bytes=%ld-%ld", &r->first, &r->last);
    }
    return true;
}

static bool gunzip(const unsigned char *from, size_t n, unsigned char *to, size_t room) {
    z_stream z = {.next_in = (unsigned char *)from, .avail_in = (uInt)n, .next_out = to,
                  .avail_out = (uInt)room - 1};
    if (inflateInit2(&z, 15 + 32) != Z_OK) return false;
    int done = inflate(&z, Z_FINISH);
    to[z.total_out] = 0;
    inflateEnd(&z);
    return done == Z_STREAM_END;
}

static bool read_json(Conn *c, Request *r) {
    if (r->length >= BODY || !take(c, c->body, r->length)) return false;
    c->body[r->length] = 0;
    r->json = (char *)c->body;
    if (!r->gzip || !r->length) return true;
    r->json = (char *)c->text;
    return gunzip(c->body, r->length, c->text, BODY);
}

static bool answer(Conn *c, const char *status, const char *headers, const char *body) {
    static const char form[] = "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s";
    char few[4096], *text = few;
    size_t n = strlen(body), room = n + 1024;
    if (room > sizeof few) text = malloc(room);
    n = (size_t)snprintf(text, room, form, status, headers, n, body);
    nap_ms(c->door->latency_ms);
    bool sent = put(c, text, n);
    if (text != few) free(text);
    return sent;
}

static bool answer_json(Conn *c, const char *status, const char *body) {
    return answer(c, status, "Content-Type: application/json\r\nx-request-id: bench\r\n", body);
}

/* The JSON string that is the value of `key`, quotes included, as it stands in the text; or `none`. */
static void string_of(const char *json, const char *key, char *to, size_t room, const char *none) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    snprintf(to, room, "%s", none);
    const char *at = strstr(json, quoted);
    if (!at || !(at = strchr(at + strlen(quoted), '"'))) return;
    const char *end = at + 1;
    while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
    if (*end && (size_t)(end + 1 - at) < room) snprintf(to, room, "%.*s", (int)(end + 1 - at), at);
}

static long number_of(const char *text, const char *key) {
    const char *at = strstr(text, key);
    return at ? strtol(at + strlen(key) + strspn(at + strlen(key), "\": "), NULL, 10) : 0;
}

static long by_external_id(const char *external_id) {
    for (long id = atomic_load(&file_count) - 1; id > 0; id--)
        if (!strcmp(files[id].external_id, external_id)) return id;
    return 0;
}

/* The next file that a body names by id or by externalId, from *json on; 0 when there is none. */
static long next_named(const char **json) {
    const char *by_id = strstr(*json, "\"id\""), *by_name = strstr(*json, "\"externalId\"");
    char external_id[1024];
    if (!by_id && !by_name) return 0;
    if (by_id && (!by_name || by_id < by_name)) {
        *json = by_id + 4;
        return number_of(by_id, "\"id\"");
    }
    string_of(by_name, "externalId", external_id, sizeof external_id, "");
    *json = by_name + 12;
    return by_external_id(external_id);
}

static void describe(long id, bool uploaded, char *to, size_t room) {
    File *f = &files[id];
    snprintf(to, room, "\"id\":%ld,\"name\":%s%s%s,\"uploaded\":%s,\"createdTime\":1,\"lastUpdatedTime\":1%s",
             id, f->name, f->external_id[0] ? ",\"externalId\":" : "", f->external_id,
             uploaded ? "true" : "false", uploaded ? ",\"uploadedTime\":2" : "");
}

static long new_file(const char *json, long parts) {
    long id = atomic_fetch_add(&file_count, 1);
    if (id >= FILES) die("too many files");
    string_of(json, "name", files[id].name, sizeof files[id].name, "\"unnamed\"");
    string_of(json, "externalId", files[id].external_id, sizeof files[id].external_id, "");
    files[id].sizes = calloc((size_t)parts, sizeof(int64_t));
    files[id].parts = (int)parts;
    return id;
}

static bool open_file(Conn *c, Request *r, bool multipart) {
    long parts = multipart ? number_of(r->path, "parts=") : 1;
    if (parts < 1 || parts > PARTS)
        return answer_json(c, "400 Bad Request", "{\"error\":{\"code\":400,\"message\":\"parts\"}}");
    long id = new_file(r->json, parts);
    char meta[3000], text[80 << 10];
    describe(id, false, meta, sizeof meta);
    int n = snprintf(text, sizeof text, "{%s,", meta);
    n += snprintf(text + n, sizeof text - (size_t)n, multipart ? "\"uploadId\":\"u%ld\",\"uploadUrls\":[" : "\"uploadUrl\":", id);
    for (long i = 0; i < parts; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s\"%s://%s:%d/put/%ld/%ld?sig=b\"",
                      i ? "," : "", scheme, address, storage.port, id, i);
    snprintf(text + n, sizeof text - (size_t)n, multipart ? "]}" : "}");
    return answer_json(c, "201 Created", text);
}

static const char no_such_file[] = "{\"error\":{\"code\":400,\"message\":\"no such file\"}}";

/* `{"items": [...]}`: each file that the body names, with a download link where asked for. */
static bool answer_items(Conn *c, const char *json, bool links) {
    char *text = malloc(ANSWER), meta[3000];
    size_t n = (size_t)sprintf(text, "{\"items\":[");
    for (long id; (id = next_named(&json));) {
        if (!find_file(id) || n > ANSWER - 2 * sizeof meta) {
            free(text);
            return answer_json(c, "400 Bad Request", no_such_file);
        }
        describe(id, true, meta, sizeof meta);
        n += (size_t)sprintf(text + n, "%s{%s", text[n - 1] == '[' ? "" : ",", meta);
        if (links)
            n += (size_t)sprintf(text + n, ",\"downloadUrl\":\"%s://%s:%d/get/%ld?sig=b\"",
                                 scheme, address, storage.port, id);
        n += (size_t)sprintf(text + n, "}");
    }
    sprintf(text + n, "]}");
    bool sent = answer_json(c, "200 OK", text);
    free(text);
    return sent;
}

static bool answer_file(Conn *c, long id) {
    char meta[3000], text[3100];
    if (!find_file(id)) return answer_json(c, "400 Bad Request", no_such_file);
    describe(id, true, meta, sizeof meta);
    snprintf(text, sizeof text, "{%s}", meta);
    return answer_json(c, "200 OK", text);
}

static bool serve_api(Conn *c, Request *r) {
    static const char *rights =
        "{\"subject\":\"bench\",\"projects\":[{\"projectUrlName\":\"bench\",\"groups\":[1]}],\"capabilities\":"
        "[{\"filesAcl\":{\"actions\":[\"READ\",\"WRITE\"],\"scope\":{\"all\":{}}},"
        "\"projectScope\":{\"allProjects\":{}}}]}";
    const char *path = strstr(r->path, "/files");
    char count[32];
    if (!read_json(c, r)) return false;
    if (!strcmp(r->path, "/received")) {
        snprintf(count, sizeof count, "%ld", (long)atomic_load(&all_received));
        return answer_json(c, "200 OK", count);
    }
    if (strstr(r->path, "/token/inspect")) return answer_json(c, "200 OK", rights);
    if (!path) return answer_json(c, "200 OK", "{\"items\":[]}");
    path += strlen("/files");
    if (!strncmp(path, "/initmultipartupload", 20)) return open_file(c, r, true);
    if (!strncmp(path, "/completemultipartupload", 24)) return answer_json(c, "200 OK", "{}");
    if (!strncmp(path, "/delete", 7)) return answer_json(c, "200 OK", "{}");
    if (!strncmp(path, "/list", 5)) return answer_json(c, "200 OK", "{\"items\":[]}");
    if (!strcmp(r->method, "POST") && (!*path || *path == '?')) return open_file(c, r, false);
    if (path[0] == '/' && path[1] >= '0' && path[1] <= '9') return answer_file(c, atol(path + 1));
    return answer_items(c, r->json, !strncmp(path, "/downloadlink", 13));
}

static bool put_all(Conn *c, const unsigned char *from, size_t n) {
    for (size_t at = 0; at < n;) {
        int64_t went = c->ssl ? SSL_write(c->ssl, from + at, (int)(n - at)) : send(c->fd, from + at, n - at, MSG_NOSIGNAL);
        if (went <= 0) return false;
        at += (size_t)went;
    }
    return true;
}

/* Bytes that were never kept: each MiB of a file is the same one. */
static bool serve_get(Conn *c, Request *r) {
    long id = 0;
    char head[400];
    sscanf(r->path, "/get/%ld", &id);
    File *file = find_file(id);
    long size = file ? (long)received(file) : 0, first = r->first < 0 ? 0 : r->first;
    long end = r->last < 0 || r->last >= size ? size : r->last + 1;
    if (first >= end) return answer(c, "416 Range Not Satisfiable", "", "");
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nETag: \"sink-%ld\"\r\nContent-Length: %ld\r\n",
                     r->first < 0 ? "200 OK" : "206 Partial Content", id, end - first);
    if (r->first >= 0)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Range: bytes %ld-%ld/%ld\r\n", first, end - 1, size);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    nap_ms(c->door->latency_ms);
    if (!put_all(c, (unsigned char *)head, (size_t)n)) return false;
    for (long at = first; at < end;) {
        long here = at % PIECE, now = PIECE - here < end - at ? PIECE - here : end - at;
        if (!put_all(c, piece + here, (size_t)now)) return false;
        at += now;
    }
    return true;
}

/* It looks like an MD5, as that of a bucket that encrypts: who compares has to compute one. */
#define TAG "ETag: \"00000000000000000000000000000000\"\r\n"

static bool serve_put(Conn *c, Request *r) {
    long id = 0, part = -1;
    sscanf(r->path, "/put/%ld/%ld", &id, &part);
    File *file = find_file(id);
    if (r->chunked) return answer(c, "411 Length Required", "Connection: close\r\n", ""), false;
    if (!skip(c, r->length)) return false;
    atomic_fetch_add(&all_received, (int64_t)r->length);
    if (!file) return answer(c, "200 OK", TAG, ""); /* the C client puts wherever it likes */
    if (part < 0 || part >= file->parts) return answer(c, "404 Not Found", "", "");
    atomic_store(&file->sizes[part], (int64_t)r->length);
    return answer(c, "200 OK", TAG, "");
}

static void *serve(void *arg) {
    Conn *c = arg;
    int on = 1;
    Request r;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    nap_ms(c->door->latency_ms);
    if (tls) nap_ms(c->door->latency_ms);
    if (!tls || shake_hands(c))
        while (read_head(c, &r)) {
            bool stays = !strcmp(r.method, "PUT")                           ? serve_put(c, &r)
                         : c->door == &storage && !strcmp(r.method, "GET") ? serve_get(c, &r)
                                                                           : serve_api(c, &r);
            if (!stays || r.close) break;
        }
    if (c->ssl) SSL_free(c->ssl);
    EVP_CIPHER_CTX_free(c->aead);
    close(c->fd);
    free(c);
    return NULL;
}

/* ---- listening -------------------------------------------------------------------------------- */

static void open_door(Door *door) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    socklen_t size = sizeof at;
    door->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (door->fd < 0 || bind(door->fd, (void *)&at, sizeof at) || listen(door->fd, 1024)) die("listen");
    getsockname(door->fd, (void *)&at, &size);
    door->port = ntohs(at.sin_port);
}

static void *welcome(void *arg) {
    Door *door = arg;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 512 << 10);
    for (;;) {
        int fd = accept(door->fd, NULL, NULL);
        if (fd < 0) continue;
        Conn *c = calloc(1, sizeof *c);
        pthread_t thread;
        c->door = door, c->fd = fd;
        if (pthread_create(&thread, &attr, serve, c)) die("thread");
    }
    return NULL;
}

static void open_tls(const char *cert, const char *key) {
    tls = SSL_CTX_new(TLS_server_method());
    scheme = "https";
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    SSL_CTX_set_keylog_callback(tls, keylog);
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

int main(int argc, char **argv) {
    for (unsigned i = 0, x = 1; i < PIECE; i++) piece[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    const char *cert = NULL, *key = NULL;
    pthread_t thread;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--decrypt")) decrypt = true;
        else if (i + 1 == argc) die(argv[i]);
        else if (!strcmp(argv[i], "--cert")) cert = argv[++i];
        else if (!strcmp(argv[i], "--key")) key = argv[++i];
        else if (!strcmp(argv[i], "--api-latency-ms")) api.latency_ms = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--bind")) address = argv[++i];
        else if (!strcmp(argv[i], "--storage-latency-ms")) storage.latency_ms = atoi(argv[++i]);
    }
    if (cert && key) open_tls(cert, key);
    open_door(&api);
    open_door(&storage);
    pthread_create(&thread, NULL, welcome, &api);
    pthread_create(&thread, NULL, welcome, &storage);
    printf("{\"api\": \"%s://%s:%d\", \"storage\": \"%s://%s:%d\"}\n", scheme, address, api.port, scheme,
           address, storage.port);
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
