/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* raw: guest bytes are host bytes. */
#pragma once

#include "disk/format.h"

extern const ImgFormat img_raw_format;
