/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a file is besides its content, and a new file in its place keeps: owner and group, mode,
 * ACL, extended attributes and chattr(1) flags.
 *
 * Of extended attributes those of users and administrators are kept (user, trusted, security and
 * ACLs), but not those that vouch for the content (security.capability, ima and evm), nor what file
 * systems show of themselves. One that cannot be kept is an error, unless the file system says that
 * it does not store such; so is a SELinux label, without which a VM may not be allowed to use its
 * image. Of the flags "no copy on write" must be kept, the others of chattr(1) are where that is
 * allowed. Times are not kept. */
#pragma once

#include "base/error.h"

/* Fail if @new_fd, empty and made for the purpose, cannot be given what @old_fd has; then whatever
 * must be set on an empty file is set, and all but the owner. Its mode stays 0600. @name is the
 * old file's in messages, escaped. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_attributes_try (int old_fd, int new_fd, const char *name, GError **error);

/* Give @new_fd everything that @old_fd has now. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_attributes_copy (int old_fd, int new_fd, const char *name, GError **error);

/* The mode of a new file in @folder that is asked for as @mode: without what the umask takes away,
 * or, where a local folder has a default ACL, what that does (acl(5)). */
mode_t img_attributes_new_mode (int folder, mode_t mode);
