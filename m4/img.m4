# SPDX-License-Identifier: LGPL-2.1-or-later
# The configure macros of imgtool.

# IMG_TRY_CFLAG(VARIABLE, FLAG): append FLAG to VARIABLE if the compiler takes it.
AC_DEFUN([IMG_TRY_CFLAG], [
  AS_VAR_PUSHDEF([cache], [img_cv_cflag_$2])
  AC_CACHE_CHECK([whether $CC takes $2], [cache], [
    img_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM], [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
    CFLAGS=$img_save_CFLAGS
  ])
  AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
  AS_VAR_POPDEF([cache])
])

# IMG_STD_GNU17: the language of the sources.
AC_DEFUN([IMG_STD_GNU17], [
  IMG_STD_CFLAGS=
  IMG_TRY_CFLAG([IMG_STD_CFLAGS], [-std=gnu17])
  AC_SUBST([IMG_STD_CFLAGS])
])

# IMG_WARNINGS: named warnings, tried one by one; --enable-werror makes them errors.
AC_DEFUN([IMG_WARNINGS], [
  AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [make compiler warnings errors])],
    [], [enable_werror=no])
  IMG_WARNING_CFLAGS=
  m4_foreach_w([img_flag],
    [-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
     -Wold-style-definition -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wvla
     -Wunused-result -Wimplicit-fallthrough],
    [IMG_TRY_CFLAG([IMG_WARNING_CFLAGS], img_flag)])
  AS_VAR_IF([enable_werror], [yes], [AS_VAR_APPEND([IMG_WARNING_CFLAGS], [" -Werror"])])
  AC_SUBST([IMG_WARNING_CFLAGS])
])

# IMG_HARDENING: what the distributions build with, also for builds by hand.
AC_DEFUN([IMG_HARDENING], [
  IMG_HARDENING_CFLAGS=
  IMG_TRY_CFLAG([IMG_HARDENING_CFLAGS], [-fstack-protector-strong])
  IMG_TRY_CFLAG([IMG_HARDENING_CFLAGS], [-fPIE])
  IMG_HARDENING_LDFLAGS="-pie -Wl,-z,relro -Wl,-z,now"
  AC_SUBST([IMG_HARDENING_CFLAGS])
  AC_SUBST([IMG_HARDENING_LDFLAGS])
])

# IMG_FORTIFY: checks of lengths in the C library's functions, where the compiler optimises and no
# sanitizer does better.
AC_DEFUN([IMG_FORTIFY], [
  AS_IF([test -z "$img_sanitizers"], [
    img_save_CPPFLAGS=$CPPFLAGS
    img_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror"
    CPPFLAGS="$CPPFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"
    AC_CACHE_CHECK([whether $CC takes -D_FORTIFY_SOURCE=3], [img_cv_fortify], [
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <stdio.h>]])], [img_cv_fortify=yes],
        [img_cv_fortify=no])
    ])
    CFLAGS=$img_save_CFLAGS
    CPPFLAGS=$img_save_CPPFLAGS
    AS_IF([test "$img_cv_fortify" = yes],
      [AS_VAR_APPEND([IMG_HARDENING_CFLAGS], [" -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"])])
  ])
])

# IMG_SANITIZERS: --enable-sanitizers builds everything with ASan and UBSan, --enable-thread-sanitizer
# with TSan, and --enable-fuzzing (clang only) with the former two and what libFuzzer needs to see
# where a run went.
AC_DEFUN([IMG_SANITIZERS], [
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers], [build with the address and undefined-behaviour sanitizers])],
    [], [enable_sanitizers=no])
  AC_ARG_ENABLE([thread-sanitizer],
    [AS_HELP_STRING([--enable-thread-sanitizer], [build with the thread sanitizer, against data races])],
    [], [enable_thread_sanitizer=no])
  AC_ARG_ENABLE([fuzzing],
    [AS_HELP_STRING([--enable-fuzzing], [build for "make fuzz", which does this by itself; needs clang])],
    [], [enable_fuzzing=no])
  IMG_SANITIZER_FLAGS=
  img_sanitizers=
  AS_VAR_IF([enable_sanitizers], [yes], [img_sanitizers=address,undefined])
  AS_VAR_IF([enable_thread_sanitizer], [yes], [img_sanitizers=thread])
  AS_VAR_IF([enable_fuzzing], [yes], [img_sanitizers=address,undefined])
  AS_VAR_IF([img_sanitizers], [], [],
    [IMG_SANITIZER_FLAGS="-fsanitize=$img_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer"])
  # -fsanitize=fuzzer-no-link without the watch on comparisons, which costs half the speed and finds
  # less than mutators and dictionaries that know the format.
  AS_VAR_IF([enable_fuzzing], [yes],
    [AS_VAR_APPEND([IMG_SANITIZER_FLAGS], [" -fsanitize-coverage=inline-8bit-counters,pc-table"])])
  AC_SUBST([IMG_SANITIZER_FLAGS])
  # Their own reports, and what they map, do not go through a sandbox.
  AS_VAR_IF([img_sanitizers], [], [],
    [AC_DEFINE([IMG_WITHOUT_SANDBOX], [1], [Define to 1 to read images without a sandbox.])])
  AM_CONDITIONAL([THREAD_SANITIZER], [test "$enable_thread_sanitizer" = yes])
])

# IMG_OPTIONAL(NAME, VARIABLE, MODULES, PURPOSE): an optional library. Default: use it if it is
# there; --with-NAME makes its absence an error, --without-NAME leaves it out. Defines HAVE_VARIABLE
# for C and automake, and adds a line to the summary.
AC_DEFUN([IMG_OPTIONAL], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1], [$4 @<:@check@:>@])], [], [with_$1=check])
  img_have=no
  AS_VAR_IF([with_$1], [no], [], [
    PKG_CHECK_MODULES([$2], [$3], [img_have=yes], [
      AS_VAR_IF([with_$1], [yes], [AC_MSG_ERROR([--with-$1 was given, but $3 was not found])])
    ])
  ])
  AS_VAR_IF([img_have], [yes], [AC_DEFINE([HAVE_$2], [1], [Define to 1 if $1 is used: $4.])])
  AM_CONDITIONAL([HAVE_$2], [test "$img_have" = yes])
  AS_VAR_APPEND([IMG_FEATURES], ["
    $1: $img_have ($4)"])
])
