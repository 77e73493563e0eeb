/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By which name the program was called, and what follows from it.
 *
 * Called as qemu-img (a link of that name is enough) it stands in for qemu-img: its prefix, its
 * version line, its silence, and of its commands those that exist here. The rest is done by the
 * program that IMGTOOL_QEMU_IMG names. Each difference is a row of the table in imgtool(1). */
#pragma once

#include "base/error.h"

/* The qemu-img whose options and output these are. */
#define CLI_QEMU_IMG_VERSION "10.0.2"

/* Look at argv[0], which may be NULL; before anything is printed. */
void cli_program_set_name (const char *argv0);

/* "imgtool" or "qemu-img": what messages begin with. */
const char *cli_program_name (void);
gboolean cli_is_qemu_img (void);

/* A command that is not in this program, as qemu-img: become the program that has it, with @argv
 * behind its name. Returns only with an error. */
void cli_run_other_qemu_img (char *const *argv, GError **error);
