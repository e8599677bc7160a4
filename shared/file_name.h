/* What a received file may be called here. See file_name.c. */
#ifndef P2PD_FILE_NAME_H
#define P2PD_FILE_NAME_H

/* Bytes: there is room for ".9999.part" in any file system's 255. */
#define FILE_NAME_SAFE_MAX 200

/* A name of 1 to FILE_NAME_SAFE_MAX bytes of UTF-8 that stays in its folder, hides nowhere and
 * shows as what it is: the last component of `name` (both / and \ separate), without controls,
 * directions of writing, a leading dot or the ending .part. */
void file_name_make_safe(const char *name, char ret_name[FILE_NAME_SAFE_MAX + 1]);
/* For a file that is sent: a name of more than FILE_NAME_SAFE_MAX bytes is cut in front of what
 * says of what kind it is (".jpg", ".tar.gz"), between characters. Others are copied. */
void file_name_shorten(const char *name, char ret_name[FILE_NAME_SAFE_MAX + 1]);

#endif
