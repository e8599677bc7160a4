/* An id has to be unique with its sender, and chance alone would do. But both ends keep it in an
 * index, and what is random all over changes another page of it for every message: of a store with
 * 60,000 messages each commit of a thousand wrote the whole index. Those that begin with the time
 * stand together.
 *
 * Threat: an id that tells something. The recipient alone sees it, and is told the time anyway;
 * 80 random bits keep two of one millisecond apart. */
#include "shared/message_id.h"

#include <sodium.h>
#include <time.h>

#define TIME_BYTES 6

void message_id_make(uint8_t ret_id[MESSAGE_ID_BYTES]) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (int i = 0; i < TIME_BYTES; i++)
        ret_id[i] = (uint8_t)(ms >> (8 * (TIME_BYTES - 1 - i)));
    randombytes_buf(ret_id + TIME_BYTES, MESSAGE_ID_BYTES - TIME_BYTES);
}

/* The time's bytes stay as they are: there are more of the others than anybody counts. */
void message_id_next(uint8_t id[MESSAGE_ID_BYTES]) {
    for (int i = MESSAGE_ID_BYTES - 1; i >= TIME_BYTES && ++id[i] == 0; i--)
        ;
}
