/* What cppcheck, which reads no system header, must know of <sys/queue.h>: without it, it gives up
 * on the file. */
#define TAILQ_FOREACH(at, head, link)                                                              \
    for ((at) = (head)->tqh_first; (at); (at) = (at)->link.tqe_next)
