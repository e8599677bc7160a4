/* An id has to be unique with its sender, and random bytes alone would do. But both ends keep ids
 * in an index, and a fully random id changes another page of it for every message: in a store with
 * 60,000 messages each commit of a thousand wrote the whole index. Ids that begin with the time are
 * next to each other.
 *
 * Threat: an id that tells something. Only the recipient sees it, and is told the time anyway; 80
 * random bits keep two ids of one millisecond apart. */
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

/* Increment the random bytes alone: there are more of these ids than anybody counts. */
void message_id_next(uint8_t id[MESSAGE_ID_BYTES]) {
    for (int i = MESSAGE_ID_BYTES - 1; i >= TIME_BYTES && ++id[i] == 0; i--)
        ;
}
