/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/format.h"
#include "format/qcow2/qcow2.h"
#include "format/raw.h"

const ImgFormat *const img_formats[] = { &img_raw_format, &img_qcow2_format, NULL };
