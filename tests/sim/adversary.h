/* Malicious nodes: real cores, members of the network, whose doings are bent on their way out. What
 * each is up to is drawn from the seed. They know the network key and hold valid links; they do not
 * hold anybody else's keys. */
#ifndef P2PD_SIM_ADVERSARY_H
#define P2PD_SIM_ADVERSARY_H

#include "tests/sim/sim.h"

enum habit {
    HABIT_DROPS_ALL = 1 << 0,   /* every onion packet */
    HABIT_DROPS_SOME = 1 << 1,  /* a share of them */
    HABIT_REPLAYS = 1 << 2,     /* datagrams and onion packets, later and to others */
    HABIT_TAMPERS = 1 << 3,     /* with what it forwards and sends */
    HABIT_FORGES = 1 << 4,      /* garbage, from anybody's address */
    HABIT_DIALS = 1 << 5,       /* a flood of first handshake messages with good macs */
    HABIT_FLOODS = 1 << 6,      /* frames of every type over its valid links */
    HABIT_LIES = 1 << 7,        /* in the descriptors that it signs */
    HABIT_EQUIVOCATES = 1 << 8, /* every neighbour gets another version of its descriptor */
    HABIT_PUBLISHES = 1 << 9,   /* versions of a crowd's descriptors, without end */
    HABIT_WANTS = 1 << 10,      /* asks for descriptors that it has */
    HABIT_CROWDS = 1 << 11,     /* brings identities without end */
    HABIT_REKEYS = 1 << 12, /* other routing keys again and again, told to one neighbour first */
    HABIT_SPOOFS =
        1 << 13, /* first handshake messages to one honest node in the name of another's address */
    HABIT_PADS = 1 << 14,     /* parcels of padding alone, to everybody */
    HABIT_REMAILS = 1 << 15,  /* the mail that it kept, again and again */
    HABIT_SCATTERS = 1 << 16, /* a new path for every packet, through neighbours to theirs */
    /* Not for a chaos, which draws from those above: */
    HABIT_HANDS = 1 << 17,  /* versions of its own in a row: adversary_hand() */
    HABIT_FRAMES = 1 << 18, /* tells whom it dials a wrong time, and keeps others' descriptors */
    HABIT_PROVES = 1 << 19, /* against identities of its crowd, as many as there can be */
    HABIT_PAIRS = 1 << 20,  /* HABIT_SCATTERS, with two packets on each path */
    HABITS = 1 << 21
};
#define HABIT_COUNT 17

struct adversary;

struct adversary *adversary_new(struct sim *sim, unsigned habits);
void adversary_free(struct adversary *adversary);
/* From now on it behaves, but for `habits`. */
void adversary_keep(struct adversary *adversary, unsigned habits);
/* From now on it has these. */
void adversary_become(struct adversary *adversary, unsigned habits);
unsigned adversary_habits(const struct adversary *adversary);
/* It and its accomplices confirm to the network that `poser` is at an address: it says so of itself
 * if it is the poser, and of the poser, its neighbour, if not. */
void adversary_pose(struct adversary *adversary, const struct node_id *poser,
                    const struct address *at);

/* It claims as many ports of an IP as a descriptor has room for, from this one on. */
void adversary_claim(struct adversary *adversary, const struct address *first);
/* Whoever it dials from now on is to have this time, having no other neighbour; {0}: the right one.
 * Has it been shown two descriptors of one sequence? Then it tells all. */
void adversary_bend_time(struct adversary *adversary, struct wall to);
bool adversary_has_framed(const struct adversary *adversary);

/* A datagram that its core would send: does it go out? */
bool adversary_lets_out(struct sim *sim, struct sim_host *host, const struct datagram *datagram);
/* An onion packet that came: is it handled at all? */
bool adversary_takes_onion(struct adversary *adversary, struct node *node, const uint8_t *packet);
/* A burst of whatever it does of its own accord, or its part with other nodes' descriptors alone:
 * so many identities of its crowd publish, so many WANTs go to every neighbour, or so many frames
 * of proofs to some. */
void adversary_act(struct sim *sim, unsigned host);
void adversary_gossip(struct sim *sim, unsigned host, unsigned n);
/* It has so many identities (before it first acts; CROWD_DEFAULT else). */
void adversary_crowd(struct adversary *adversary, unsigned n);
bool adversary_has_identity(const struct adversary *adversary, uint64_t prefix);
/* The same of these habits, of so many at a time, as often as it likes. */
void adversary_go_on(struct sim *sim, unsigned host, unsigned habits, unsigned n);
/* HABIT_HANDS, from now on: the handshakes that it finishes carry a later version each, with the
 * same keys or with keys that this peer alone sees; or each neighbour is told of another version,
 * with keys of its own. */
enum handing { HANDS_NOTHING, HANDS_LATER, HANDS_KEYS, TELLS_KEYS };
void adversary_hand(struct adversary *adversary, enum handing handing);
/* Whom it speaks as and to whom, or sends through whom to whom (drawn from the seed otherwise). */
void adversary_aim(struct adversary *adversary, unsigned as, unsigned at);

#endif
