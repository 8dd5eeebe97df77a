/* Loaded with LD_PRELOAD, makes chosen calls of the C library fail, for tests.

   BITPICK_FAULTS=CONTROL:PREFIX[:PREFIX...]

   Calls on files below a prefix are counted, over all processes, in the file CONTROL, which also says which of them fail:
   see `struct control`. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

struct control {
    long count;     /* calls so far */
    long first;     /* the number of the call that fails; 0 for none */
    long every;     /* and each so many-th after it; 0 for no other */
    long number;    /* with this errno */
    char calls[16]; /* the kinds that count: o(pen for writing), R(ead), w(rite), r(ename), s(ync), m(ake a folder) */
};

static struct control *control;
static char *prefixes;
static int ready;

static void begin(void) {
    ready = 1;
    const char *text = getenv("BITPICK_FAULTS");
    if (text == NULL) return;
    prefixes = strdup(text);
    const char *file = strsep(&prefixes, ":");
    int descriptor = REAL(open)(file, O_RDWR);
    if (descriptor < 0) return;
    void *place = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (place != MAP_FAILED) control = place;
}

static int below(const char *path) {
    char copy[4096];
    if (path == NULL || path[0] != '/') return 0;
    strncpy(copy, prefixes, sizeof copy - 1);
    copy[sizeof copy - 1] = 0;
    char *rest = copy, *prefix;
    while ((prefix = strsep(&rest, ":")) != NULL)
        if (strncmp(path, prefix, strlen(prefix)) == 0) return 1;
    return 0;
}

static int counts(char kind) {
    if (!ready) begin();
    return control != NULL && strchr(control->calls, kind) != NULL;
}

static int fails(char kind, const char *path) {
    if (!counts(kind) || !below(path)) return 0;
    long past = __sync_add_and_fetch(&control->count, 1) - control->first;
    if (control->first == 0 || past < 0 || (past > 0 && (control->every == 0 || past % control->every != 0))) return 0;
    errno = (int)control->number;
    return 1;
}

static int fails_on(char kind, int descriptor) {
    char link[64], path[4096];
    if (!counts(kind)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(kind, path);
}

#define OPENS(name)                                                          \
    int name(const char *path, int flags, ...) {                             \
        va_list arguments;                                                   \
        va_start(arguments, flags);                                          \
        mode_t mode = va_arg(arguments, mode_t);                             \
        va_end(arguments);                                                   \
        if (fails(flags & (O_WRONLY | O_RDWR) ? 'o' : 'R', path)) return -1; \
        return REAL(name)(path, flags, mode);                                \
    }
OPENS(open)
OPENS(open64)

ssize_t write(int file, const void *bytes, size_t size) {
    return fails_on('w', file) ? -1 : REAL(write)(file, bytes, size);
}
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t place) {
    return fails_on('w', file) ? -1 : REAL(pwrite64)(file, bytes, size, place);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails_on('w', file) ? -1 : REAL(writev)(file, parts, count);
}
size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file) {
    return fails_on('w', fileno(file)) ? 0 : REAL(fwrite)(bytes, size, count, file);
}
ssize_t sendfile64(int out, int in, off64_t *place, size_t size) {
    return fails_on('w', out) ? -1 : REAL(sendfile64)(out, in, place, size);
}
int rename(const char *from, const char *to) { return fails('r', to) ? -1 : REAL(rename)(from, to); }
int fsync(int file) { return fails_on('s', file) ? -1 : 0; } /* tests need not wait for the disk */
int mkdir(const char *path, mode_t mode) { return fails('m', path) ? -1 : REAL(mkdir)(path, mode); }
