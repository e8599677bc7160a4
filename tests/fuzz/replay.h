/* What a fuzz target says to replay.c. */
#ifndef P2PD_FUZZ_REPLAY_H
#define P2PD_FUZZ_REPLAY_H

/* The most variants of one input, where a run is slow: their sample is then thinner, the fuzzer's
 * work is the same. Not defined by the target: as many as an input has. */
unsigned replay_variants_max(void);

#endif
