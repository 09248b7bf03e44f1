/* Makes system calls of one process fail, as failing_calls.py plans: loaded before all other libraries (LD_PRELOAD).
 *
 * Calls on files below `data` or `rings` are counted, of the kinds in `kinds`; the `at`-th fails with `error`, and with
 * `sticky` all that follow. With `cut`, writes are done by half instead. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, TRUNCATE = 16, ALLOCATE = 32, UNLINK = 64, MKDIR = 128, READ = 256, NOTE = 512 };
struct plan {
    int on, kinds, at, error, sticky, seen, failed, cut;
    char data[400], rings[400];
};
static struct plan *plan;

#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static struct plan *planned(void) {
    const char *path = getenv("FAILING_CALLS");
    if (plan || !path) return plan;
    int (*really_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int fd = really_open(path, O_RDWR);
    if (fd < 0) return NULL;
    void *found = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (found != MAP_FAILED) plan = found;
    return plan;
}

static int is_below(const char *path, const char *directory) {
    return directory[0] && !strncmp(path, directory, strlen(directory));
}

static int fails(int kind, const char *path, int fd) {
    char link[64], target[4096];
    int before = errno;
    if (!planned() || !plan->on || !(plan->kinds & kind)) return 0;
    if (!path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, target, sizeof target - 1);
        errno = before;
        if (size < 0) return 0;
        target[size] = 0;
        path = target;
    }
    if (!is_below(path, plan->data) && !is_below(path, plan->rings)) return 0;
    int number = __sync_add_and_fetch(&plan->seen, 1);
    if (number < plan->at || (number > plan->at && !plan->sticky)) return 0;
    __sync_add_and_fetch(&plan->failed, 1);
    errno = plan->error;
    return 1;
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }
#define OPENS(name)                                                                                                    \
    int name(const char *path, int flags, ...) {                                                                       \
        MODE(flags) REAL(name);                                                                                        \
        return fails(OPEN, path, -1) ? -1 : real(path, flags, mode);                                                   \
    }
#define OPENS_AT(name)                                                                                                 \
    int name(int at, const char *path, int flags, ...) {                                                               \
        MODE(flags) REAL(name);                                                                                        \
        return fails(OPEN, path, -1) ? -1 : real(at, path, flags, mode);                                               \
    }
/* The writer's note of how far it has come: so many bytes, there. */
#define IS_NOTE(size, at) ((size) == 20 && (at) == 64)
#define WRITES(name, parameters, arguments, is_note)                                                                   \
    ssize_t name parameters {                                                                                          \
        REAL(name);                                                                                                    \
        if (fails(WRITE | (is_note ? NOTE : 0), NULL, fd)) {                                                                                  \
            if (!plan->cut || size < 2) return -1;                                                                     \
            size /= 2;                                                                                                 \
        }                                                                                                              \
        return real arguments;                                                                                         \
    }
#define FAILS(type, name, kind, parameters, arguments, path, fd, result)                                               \
    type name parameters {                                                                                             \
        REAL(name);                                                                                                    \
        return fails(kind, path, fd) ? (result) : real arguments;                                                      \
    }

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
WRITES(write, (int fd, const void *data, size_t size), (fd, data, size), 0)
WRITES(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), IS_NOTE(size, at))
WRITES(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), IS_NOTE(size, at))
FAILS(ssize_t, read, READ, (int fd, void *data, size_t size), (fd, data, size), NULL, fd, -1)
FAILS(ssize_t, pread, READ, (int fd, void *data, size_t size, off_t at), (fd, data, size, at), NULL, fd, -1)
FAILS(ssize_t, pread64, READ, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), NULL, fd, -1)
FAILS(int, fsync, SYNC, (int fd), (fd), NULL, fd, -1)
FAILS(int, fdatasync, SYNC, (int fd), (fd), NULL, fd, -1)
FAILS(int, ftruncate, TRUNCATE, (int fd, off_t size), (fd, size), NULL, fd, -1)
FAILS(int, ftruncate64, TRUNCATE, (int fd, off64_t size), (fd, size), NULL, fd, -1)
FAILS(int, posix_fallocate, ALLOCATE, (int fd, off_t at, off_t size), (fd, at, size), NULL, fd, plan->error)
FAILS(int, posix_fallocate64, ALLOCATE, (int fd, off64_t at, off64_t size), (fd, at, size), NULL, fd, plan->error)
FAILS(int, rename, RENAME, (const char *from, const char *to), (from, to), from, -1, -1)
FAILS(int, link, RENAME, (const char *from, const char *to), (from, to), to, -1, -1)
FAILS(int, unlink, UNLINK, (const char *path), (path), path, -1, -1)
FAILS(int, mkdir, MKDIR, (const char *path, mode_t mode), (path, mode), path, -1, -1)
