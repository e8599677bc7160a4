/* The version that both programs print. The build may set its own. */
#ifndef P2PD_VERSION
#define P2PD_VERSION "0.1.0"
#endif
