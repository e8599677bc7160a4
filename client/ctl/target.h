/* A new file in a folder: whole, on disk and under a name of its own, or not at all, whatever may
 * interrupt us; and never in the place of another. */
#ifndef P2PCTL_TARGET_H
#define P2PCTL_TARGET_H

#include <stdint.h>

#define TARGET_KEY_LEN 8

struct target {
    int folder, fd;
    const char *name;
    char part[256], final[256];
};

enum target_begun {
    TARGET_NEW,   /* an empty file, to be filled */
    TARGET_NAMED, /* somebody who was killed over it had filled it and named it: target->final */
};
/* Begin `folder`/`name`, which is called NAME.p2pctl-KEY.part until target_name. The key is that of
 * what is copied: with it a part of somebody who was killed is found again, and taken over. An enum
 * target_begun, -EBUSY: somebody else is at work on it, or another -errno. From here on a signal
 * that ends us takes the part away. */
int target_create(struct target *target, int folder, const char *name,
                  const uint8_t key[TARGET_KEY_LEN]);
/* Everything is there: bring it to the disk, then give it its name, `name` or `name`.1, .2 ...,
 * which is in target->final. 0, and then target_end or target_keep is to follow, signals waiting
 * meanwhile; or -errno, and then nothing is left. */
int target_name(struct target *target);
/* Where it came from knows that it is here: the part, a second name by now, goes. */
void target_end(struct target *target);
/* Not known: the part stays as a mark, and target_create will find it. */
void target_keep(struct target *target);
/* Nothing shall be left. */
void target_abandon(struct target *target);

/* Take away parts in the folder that nobody is at work on. */
void target_clean(int folder);

#endif
