/* What a received file may be called here. See store_file_name.c. */
#ifndef P2PD_STORE_FILE_NAME_H
#define P2PD_STORE_FILE_NAME_H

#include "daemon/core/base.h"

/* A name of 1 to FILE_NAME_MAX bytes of UTF-8 that stays in its folder, hides nowhere and shows as what
 * it is: the last component of `name` (both / and \ separate), without controls, directions of
 * writing, a leading dot or the ending .part. */
void file_name_make_safe(const char *name, char ret_name[FILE_NAME_MAX + 1]);

#endif
