/* What a received file may be called here. See file_name.c. */
#ifndef P2PD_FILE_NAME_H
#define P2PD_FILE_NAME_H

/* Bytes: that leaves room for ".9999.part" in the 255 bytes of any file system. */
#define FILE_NAME_SAFE_MAX 200

/* Make a name of 1 to FILE_NAME_SAFE_MAX bytes of UTF-8 that stays in its folder, is not hidden,
 * and looks like what it is: the last component of `name` (both / and \ separate), without
 * controls, characters that change the direction of writing, a leading dot or the ending .part. */
void file_name_make_safe(const char *name, char ret_name[FILE_NAME_SAFE_MAX + 1]);
/* For a file that is sent: a name of more than FILE_NAME_SAFE_MAX bytes is cut before its ending
 * (".jpg", ".tar.gz"), between characters. Other names are copied. */
void file_name_shorten(const char *name, char ret_name[FILE_NAME_SAFE_MAX + 1]);

#endif
