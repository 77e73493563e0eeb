/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* without-locks WHAT COMMAND [ARGUMENT]...
 *
 * Runs a program on a kernel that lacks some kind of file lock, so that the tests can see what
 * it does there. The launcher needs no privileges: a seccomp filter makes fcntl() fail for the
 * commands in question and nothing else, in the program and in all it starts.
 *
 *   ofd     the open-file-description commands fail with EINVAL: a kernel before 3.15
 *   all     every record lock command fails with ENOLCK: a filesystem that cannot lock
 *   setlk   the same, but asking (F_GETLK) still works
 *   getlk   asking fails with ENOSYS, locking works
 *   lease   F_SETLEASE fails with EINVAL: nothing can be proven by taking a lease
 *   openat2 that call fails with ENOSYS: a kernel before 5.6
 *   landlock there is no Landlock
 *   seccomp there are no further seccomp filters
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__) && !defined(__ILP32__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#define FCNTL_NUMBER 72U
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#define FCNTL_NUMBER 25U
#else
#error "the numbers of this architecture are missing here"
#endif

/* Numbers of the kernel's interface, the same on both architectures. */
enum
{
  GETLK = 5,
  SETLK = 6,
  SETLKW = 7,
  OFD_GETLK = 36,
  OFD_SETLK = 37,
  OFD_SETLKW = 38,
  SETLEASE = 1024
};

typedef struct
{
  const char *name;
  unsigned int error;
  unsigned int commands[6]; /* of fcntl(); 0 ends the list, and an empty one is for another call */
  unsigned int call;        /* that one, whatever its arguments are ... */
  unsigned int argument;    /* ... or with this as the first; 0: any */
} Lack;

static const Lack lacks[] = {
  { "ofd", EINVAL, { OFD_GETLK, OFD_SETLK, OFD_SETLKW }, 0, 0 },
  { "all", ENOLCK, { GETLK, SETLK, SETLKW, OFD_GETLK, OFD_SETLK, OFD_SETLKW }, 0, 0 },
  { "setlk", ENOLCK, { SETLK, SETLKW, OFD_SETLK, OFD_SETLKW }, 0, 0 },
  { "getlk", ENOSYS, { GETLK, OFD_GETLK }, 0, 0 },
  { "lease", EINVAL, { SETLEASE }, 0, 0 },
  { "openat2", ENOSYS, { 0 }, SYS_openat2, 0 },
  { "landlock", ENOSYS, { 0 }, 444, 0 },
  { "seccomp", EINVAL, { 0 }, SYS_prctl, PR_SET_SECCOMP },
};

static const Lack *
find_lack (const char *name)
{
  for (size_t i = 0; i < sizeof lacks / sizeof lacks[0]; i++)
    if (strcmp (lacks[i].name, name) == 0)
      return &lacks[i];
  return NULL;
}

/* Four instructions decide whether this is fcntl() of our own architecture, one loads its
 * command, two look at each command that has to fail, and the last lets everything else pass. */
static int
install (const Lack *lack)
{
  struct sock_filter code[20];
  unsigned short n = 0;
  unsigned char commands = 0;

  while (commands < 6 && lack->commands[commands] != 0)
    commands++;

#define STATEMENT(op, value) code[n++] = (struct sock_filter)BPF_STMT ((op), (value))
#define JUMP(value, yes, no)                                                    \
  code[n++] = (struct sock_filter)BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (value), \
                                            (unsigned char)(yes), (unsigned char)(no))

  STATEMENT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, arch));
  JUMP (THIS_ARCH, 0, 3 + 2 * commands + (lack->call == 0 ? 0 : lack->argument == 0 ? 2 : 5));
  STATEMENT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr));
  if (lack->call != 0 && lack->argument != 0)
    {
      JUMP (lack->call, 0, 4);
      STATEMENT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, args[0]));
      JUMP (lack->argument, 0, 1);
      STATEMENT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | lack->error);
      STATEMENT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr));
    }
  else if (lack->call != 0)
    {
      JUMP (lack->call, 0, 1);
      STATEMENT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | lack->error);
    }
  JUMP (FCNTL_NUMBER, 0, 1 + 2 * commands);
  STATEMENT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, args[1]));
  for (unsigned int i = 0; i < commands; i++)
    {
      JUMP (lack->commands[i], 0, 1);
      STATEMENT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | lack->error);
    }
  STATEMENT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

  struct sock_fprog program = { .len = n, .filter = code };

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return -1;
  return prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

int
main (int argc, char **argv)
{
  const Lack *lack = argc >= 3 ? find_lack (argv[1]) : NULL;

  if (lack == NULL)
    {
      fprintf (stderr, "usage: without-locks WHAT COMMAND [ARGUMENT]...\n"
                       "WHAT: ofd, all, setlk, getlk, lease, openat2, landlock, seccomp\n");
      return 125;
    }
  if (install (lack) != 0)
    {
      fprintf (stderr, "without-locks: cannot install the filter: %s\n", strerror (errno));
      return 125;
    }
  execvp (argv[2], argv + 2);
  fprintf (stderr, "without-locks: cannot run '%s': %s\n", argv[2], strerror (errno));
  return errno == ENOENT ? 127 : 126;
}
