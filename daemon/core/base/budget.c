#include "daemon/core/base/budget.h"

#include <assert.h>

void budget_init(struct budget *budget, size_t max) {
    *budget = (struct budget){.max = max};
}

/* Let go of the oldest thing of whoever holds most and can give. */
static bool budget_evict(struct budget *budget) {
    bool tried[BUDGET_HOLDERS] = {false};

    for (;;) {
        int largest = -1;
        for (int i = 0; i < BUDGET_HOLDERS; i++)
            if (budget->evict[i] && !tried[i] && budget->held[i] > 0 &&
                (largest < 0 || budget->held[i] > budget->held[largest]))
                largest = i;
        if (largest < 0)
            return false;
        if (budget->evict[largest](budget->context[largest])) {
            budget->evicted[largest]++;
            return true;
        }
        tried[largest] = true;
    }
}

bool budget_take_free(struct budget *budget, enum budget_holder holder, size_t bytes) {
    if (bytes > budget->max || budget->used > budget->max - bytes)
        return false;
    budget->used += bytes;
    budget->held[holder] += bytes;
    return true;
}

bool budget_take(struct budget *budget, enum budget_holder holder, size_t bytes) {
    while (!budget_take_free(budget, holder, bytes))
        if (bytes > budget->max || !budget_evict(budget)) {
            budget->refused++;
            return false;
        }
    return true;
}

void budget_trim(struct budget *budget) {
    while (budget->used > budget->max && budget_evict(budget))
        ;
}

void budget_give(struct budget *budget, enum budget_holder holder, size_t bytes) {
    assert(budget->held[holder] >= bytes && budget->used >= bytes);
    budget->held[holder] -= bytes;
    budget->used -= bytes;
}

/* ---- Parts ---- */

void budget_part_init(struct budget_part *part, struct budget *budget, enum budget_holder holder,
                      unsigned percent) {
    *part = (struct budget_part){.budget = budget, .holder = holder, .percent = percent};
}

static size_t most_of(const struct budget_part *part) {
    return part->budget->max / 100 * part->percent;
}

bool budget_part_has_room(struct budget_part *part, size_t bytes) {
    if (bytes > most_of(part) || part->memory > most_of(part) - bytes ||
        !budget_take(part->budget, part->holder, bytes))
        return false;
    budget_give(part->budget, part->holder, bytes); /* there is room now: what is made takes it */
    return true;
}

void budget_part_take(struct budget_part *part, size_t bytes) {
    bytes += BUDGET_HEAP_EXTRA;
    part->memory += bytes;
    if (part->charged + bytes <= most_of(part) && budget_take(part->budget, part->holder, bytes))
        part->charged += bytes;
}

void budget_part_give(struct budget_part *part, size_t bytes) {
    part->memory -= bytes + BUDGET_HEAP_EXTRA;
    if (part->charged <= part->memory)
        return;
    budget_give(part->budget, part->holder, part->charged - part->memory);
    part->charged = part->memory;
}

/* Charged is what is held, up to the part. */
void budget_part_refit(struct budget_part *part) {
    size_t charge = part->memory < most_of(part) ? part->memory : most_of(part);

    budget_give(part->budget, part->holder, part->charged);
    part->budget->used += charge;
    part->budget->held[part->holder] += charge;
    part->charged = charge;
}

void budget_part_set(struct budget_part *part, size_t bytes) {
    part->memory = bytes;
    budget_part_refit(part);
}
