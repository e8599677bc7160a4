/* What a fuzz target says to replay.c. */
#ifndef P2PD_FUZZ_REPLAY_H
#define P2PD_FUZZ_REPLAY_H

/* The most variants of one input, where a run is slow: their sample is then thinner, the fuzzer's
 * work is the same. Undefined: as many as an input has. */
extern const unsigned replay_variants_max __attribute__((weak));

#endif
