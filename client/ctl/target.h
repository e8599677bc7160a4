/* A new file in a folder: complete, on disk and under a name of its own, or not there at all,
 * whatever may interrupt us; and never in the place of another file. */
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
    TARGET_NAMED, /* somebody who was killed had completed and named it: target->final */
};
/* Begin `folder`/`name`, which is called NAME.p2pctl-KEY.part until target_name. The key identifies
 * what is copied, so that the part of somebody who was killed is found again, and taken over. An
 * enum target_begun; -EBUSY: somebody else is writing it; or another -errno. From here on a signal
 * that ends us deletes the part. */
int target_create(struct target *target, int folder, const char *name,
                  const uint8_t key[TARGET_KEY_LEN]);
/* The file is complete: sync it, then give it its name, `name` or `name`.1, .2 ..., which is put
 * into target->final. 0: call target_end or target_keep next, until then signals are blocked.
 * -errno: nothing is left. */
int target_name(struct target *target);
/* The source knows that the copy is here: delete the part, which is only a second name by now. */
void target_end(struct target *target);
/* It is not known whether the source knows: keep the part as a mark, which target_create will
 * find. */
void target_keep(struct target *target);
/* Give up: delete the part. */
void target_abandon(struct target *target);

/* Delete the parts in the folder that nobody is writing. */
void target_clean(int folder);

#endif
