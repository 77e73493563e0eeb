/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This host as an NFS server: what the kernel's threads nfsd and lockd hold for other hosts.
 *
 * In the lock table their locks have the number of a kernel thread, which says nothing. Of version
 * 4 /proc/fs/nfsd/clients/N tells who the clients are (info) and what each has open and locked
 * (states), for root only; lockd, of version 3, does not tell for whom it locks.
 * Source: Linux fs/nfsd/nfs4state.c, client_info_show() and nfs4_show_lock(). */
#pragma once

#include "holder/inode-key.h"

typedef enum
{
  IMG_NFS_NOT,
  IMG_NFS_NFSD,
  IMG_NFS_LOCKD,
} ImgNfsThread;

typedef struct
{
  char *address; /* owned; "10.0.0.1" or "[fe80::1]" */
  char *name;    /* owned; what it calls itself, escaped; may be empty */
  gboolean has_lock;
  gboolean has_delegation;      /* so that it keeps locks to itself until somebody writes */
  gboolean can_read, can_write; /* how it has the file open */
} ImgNfsClient;

ImgNfsClient *img_nfs_client_copy (const ImgNfsClient *client);

/* An empty array of owned ImgNfsClient. */
GPtrArray *img_nfs_client_array (void);

/* Whether @pid is a kernel thread that serves NFS. */
ImgNfsThread img_nfs_thread (pid_t pid);

/* The clients that have the file with @key open, or a delegation for it, array of owned
 * ImgNfsClient: none where that cannot be known. */
GPtrArray *img_nfs_clients (const ImgInodeKey *key);

/* Whether the client with this text of its file "states" has anything of the file @inode
 * ("07:00:12"), and what. */
gboolean img_nfs_states_parse (const char *states, const char *inode, ImgNfsClient *client);

/* Address and name from the text of the file "info"; FALSE if it has no address. */
gboolean img_nfs_info_parse (const char *info, ImgNfsClient *client);

/* Whether the NFS server is there at all. */
gboolean img_nfs_is_served (void);
