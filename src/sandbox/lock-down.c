/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox/lock-down.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__) && !defined(__ILP32__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

/* ---- Landlock ---- */

/* From linux/landlock.h, of which Debian 12 has an old one. */
typedef struct
{
  guint64 handled_access_fs, handled_access_net, scoped;
} Ruleset;

#define CREATE_RULESET 444
#define RESTRICT_SELF 446
#define CREATE_RULESET_VERSION 1U

/* All that a kernel with that version of Landlock knows: rights to files, to ports, and to reach
 * processes outside. */
static const struct
{
  guint n_fs, n_net, n_scoped;
  gsize ruleset_bytes;
} landlock_versions[] = {
  { 13, 0, 0, 8 },  { 14, 0, 0, 8 },  { 15, 0, 0, 8 },
  { 15, 2, 0, 16 }, { 16, 2, 0, 16 }, { 16, 2, 2, 24 },
};

static guint64
first_bits (guint n)
{
  return (G_GUINT64_CONSTANT (1) << n) - 1;
}

/* A ruleset that handles everything and has no rule: nothing is allowed that begins with a path. */
static gboolean
restrict_paths (void)
{
  long version = syscall (CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
  if (version < 1)
    return FALSE;
  gsize i = (gsize)version - 1, newest = G_N_ELEMENTS (landlock_versions) - 1;
  if (i > newest)
    i = newest;
  Ruleset rules = { .handled_access_fs = first_bits (landlock_versions[i].n_fs),
                    .handled_access_net = first_bits (landlock_versions[i].n_net),
                    .scoped = first_bits (landlock_versions[i].n_scoped) };
  int fd = (int)syscall (CREATE_RULESET, &rules, landlock_versions[i].ruleset_bytes, 0);
  if (fd < 0)
    return FALSE;
  gboolean is_done = syscall (RESTRICT_SELF, fd, 0) == 0;
  (void)close (fd);
  return is_done;
}

/* ---- the list of calls ---- */

#ifdef THIS_ARCH

/* Allowed whatever their arguments are. */
static const guint plain_calls[] = {
  /* the bytes of what is open */
  SYS_read,
  SYS_readv,
  SYS_pread64,
  SYS_preadv,
  SYS_preadv2,
  SYS_write,
  SYS_writev,
  SYS_pwrite64,
  SYS_pwritev,
  SYS_pwritev2,
  SYS_lseek,
  SYS_copy_file_range,
  SYS_fallocate,
  SYS_ftruncate,
  SYS_fsync,
  SYS_fdatasync,
  SYS_sync_file_range,
  SYS_fadvise64,
  451 /* cachestat */,
  SYS_mincore,
  /* and what is known about it; names can be asked about, but lead to nothing */
  SYS_fstat,
  SYS_newfstatat,
  SYS_statx,
  SYS_fstatfs,
  SYS_close,
  /* memory and threads */
  SYS_brk,
  SYS_munmap,
  SYS_mremap,
  SYS_madvise,
  SYS_memfd_create,
  SYS_futex,
  SYS_set_robust_list,
  SYS_rseq,
  SYS_sched_getaffinity,
  SYS_sched_yield,
  SYS_membarrier,
  SYS_exit,
  SYS_exit_group,
  SYS_getpid,
  SYS_gettid,
  /* time, chance, signals that arrive, and waiting */
  SYS_clock_gettime,
  SYS_clock_nanosleep,
  SYS_nanosleep,
  SYS_gettimeofday,
  SYS_getrandom,
  SYS_rt_sigaction,
  SYS_rt_sigprocmask,
  SYS_rt_sigreturn,
  SYS_sigaltstack,
  SYS_restart_syscall,
  SYS_ppoll,
#ifdef SYS_poll
  SYS_poll,
#endif
};

/* Allowed if bits of an argument (its lower half) are as wanted. */
typedef struct
{
  guint call, argument;
  guint mask, value; /* (argument & mask) == value */
} BoundCall;

#define ALL_BITS 0xFFFFFFFFU

static const BoundCall bound_calls[] = {
  /* cloning, discarding, and what a device and a terminal are asked */
  { SYS_ioctl, 1, ALL_BITS, FICLONE },
  { SYS_ioctl, 1, ALL_BITS, FICLONERANGE },
  { SYS_ioctl, 1, ALL_BITS, BLKDISCARD },
  { SYS_ioctl, 1, ALL_BITS, BLKZEROOUT },
  { SYS_ioctl, 1, ALL_BITS, BLKSSZGET },
  { SYS_ioctl, 1, ALL_BITS, BLKPBSZGET },
  { SYS_ioctl, 1, ALL_BITS, BLKIOOPT },
  { SYS_ioctl, 1, ALL_BITS, BLKALIGNOFF },
  { SYS_ioctl, 1, ALL_BITS, BLKGETSIZE64 },
  { SYS_ioctl, 1, ALL_BITS, TCGETS },
  /* O_DIRECT is set and cleared, a copy closed to learn of errors; no lock is touched */
  { SYS_fcntl, 1, ALL_BITS, F_GETFL },
  { SYS_fcntl, 1, ALL_BITS, F_SETFL },
  { SYS_fcntl, 1, ALL_BITS, F_GETFD },
  { SYS_fcntl, 1, ALL_BITS, F_DUPFD_CLOEXEC },
  /* no memory that could be run */
  { SYS_mmap, 2, PROT_EXEC, 0 },
  { SYS_mprotect, 2, PROT_EXEC, 0 },
  /* threads, not processes */
  { SYS_clone, 0, CLONE_THREAD | CLONE_VM | CLONE_FILES | CLONE_NEWUSER,
    CLONE_THREAD | CLONE_VM | CLONE_FILES },
  { SYS_prctl, 0, ALL_BITS, 0x53564d41 /* PR_SET_VMA: names of memory */ },
};

/* The program that the kernel runs at each call. */
typedef struct
{
  struct sock_filter code[256];
  guint n;
} Filter;

static void
add (Filter *filter, guint code, guint value, guint yes, guint no)
{
  g_assert (filter->n < G_N_ELEMENTS (filter->code));
  filter->code[filter->n++] = (struct sock_filter){
    .code = (guint16)code, .jt = (guint8)yes, .jf = (guint8)no, .k = value
  };
}

static void
load (Filter *filter, gsize offset)
{
  add (filter, BPF_LD | BPF_W | BPF_ABS, (guint)offset, 0, 0);
}

static void
finish (Filter *filter, guint action)
{
  add (filter, BPF_RET | BPF_K, action, 0, 0);
}

/* The number of the call is loaded, and is again afterwards. */
static void
add_bound_call (Filter *filter, const BoundCall *bound)
{
  add (filter, BPF_JMP | BPF_JEQ | BPF_K, bound->call, 0, 5);
  /* Both targets have their least significant half first. */
  load (filter, offsetof (struct seccomp_data, args) + bound->argument * sizeof (guint64));
  add (filter, BPF_ALU | BPF_AND | BPF_K, bound->mask, 0, 0);
  add (filter, BPF_JMP | BPF_JEQ | BPF_K, bound->value, 0, 1);
  finish (filter, SECCOMP_RET_ALLOW);
  load (filter, offsetof (struct seccomp_data, nr));
}

static gboolean
restrict_calls (ImgLockDownMode mode)
{
  guint refuse = mode == IMG_LOCK_DOWN_KILL ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
  BoundCall abort_self = { SYS_tgkill, 0, ALL_BITS, (guint)getpid () };
  Filter filter = { .n = 0 };

  load (&filter, offsetof (struct seccomp_data, arch));
  add (&filter, BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0);
  finish (&filter, SECCOMP_RET_KILL_PROCESS);
  load (&filter, offsetof (struct seccomp_data, nr));
  for (gsize i = 0; i < G_N_ELEMENTS (plain_calls); i++)
    {
      add (&filter, BPF_JMP | BPF_JEQ | BPF_K, plain_calls[i], 0, 1);
      finish (&filter, SECCOMP_RET_ALLOW);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bound_calls); i++)
    add_bound_call (&filter, &bound_calls[i]);
  add_bound_call (&filter, &abort_self);
  /* The C library makes threads by clone(2) where there is no clone3(2), whose flags cannot be seen
   * here. */
  add (&filter, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
  finish (&filter, SECCOMP_RET_ERRNO | ENOSYS);
  finish (&filter, refuse);

  struct sock_fprog program = { .len = (guint16)filter.n, .filter = filter.code };
  return prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

#else

static gboolean
restrict_calls (G_GNUC_UNUSED ImgLockDownMode mode)
{
  return FALSE;
}

#endif

/* ---- limits ---- */

static void
limit (int what, rlim_t most)
{
  struct rlimit now;
  if (getrlimit ((__rlimit_resource_t)what, &now) < 0 || now.rlim_max <= most)
    most = now.rlim_max;
  now.rlim_cur = MIN (now.rlim_cur, most);
  now.rlim_max = most;
  (void)setrlimit ((__rlimit_resource_t)what, &now);
}

guint
img_lock_down (ImgLockDownMode mode, guint64 memory)
{
  guint lacks = 0;

  /* A crash is a stranger's doing: what the image is made of is not left in a file. */
  limit (RLIMIT_CORE, 0);
  if (memory != 0)
    limit (RLIMIT_AS, memory);
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return IMG_LOCK_DOWN_ALL_LACKS;
  if (!restrict_paths ())
    lacks |= IMG_LOCK_DOWN_NO_LANDLOCK;
  if (!restrict_calls (mode))
    lacks |= IMG_LOCK_DOWN_NO_SECCOMP;
  return lacks;
}
