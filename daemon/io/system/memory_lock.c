/* See memory_lock.h. On Linux the kernel lists every mapping with its flags: those of libsodium are
 * kept out of dumps ("dd"), and locked ("lo") unless that was refused. Elsewhere one more page is
 * locked as a test of whether there is room for more. The same is done under the address sanitizer,
 * whose mlock() locks nothing, and whose own mappings are kept out of dumps. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/system/memory_lock.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#ifdef __has_feature
#define IS_ADDRESS_SANITIZED __has_feature(address_sanitizer)
#elif defined __SANITIZE_ADDRESS__
#define IS_ADDRESS_SANITIZED 1
#else
#define IS_ADDRESS_SANITIZED 0
#endif

#define LINE_ROOM 512

static bool is_page_refused(void) {
    unsigned char *page = sodium_malloc(64);
    bool refused = page && sodium_mlock(page, 64) != 0;
    sodium_free(page);
    return refused;
}

#if defined __linux__ && !IS_ADDRESS_SANITIZED

/* The flags of one mapping look like " rd wr mr mw me dd lo". Is it a secret's, and not locked? */
static bool is_bare_secret(const char *flags) {
    return strstr(flags, " wr ") && strstr(flags, " dd ") && !strstr(flags, " lo ");
}

bool memory_lock_is_missing(void) {
    char line[LINE_ROOM];
    bool missing = false, any = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    while (maps && fgets(line, sizeof line, maps))
        if (strncmp(line, "VmFlags:", 8) == 0) {
            any = true;
            missing = missing || is_bare_secret(line + 8);
        }
    if (maps)
        fclose(maps);
    return any ? missing : is_page_refused();
}

#else

bool memory_lock_is_missing(void) {
    return is_page_refused();
}

#endif
