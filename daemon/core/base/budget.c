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

bool budget_take(struct budget *budget, enum budget_holder holder, size_t bytes) {
    while (bytes > budget->max || budget->used > budget->max - bytes)
        if (bytes > budget->max || !budget_evict(budget)) {
            budget->refused++;
            return false;
        }
    budget->used += bytes;
    budget->held[holder] += bytes;
    return true;
}

void budget_give(struct budget *budget, enum budget_holder holder, size_t bytes) {
    assert(budget->held[holder] >= bytes && budget->used >= bytes);
    budget->held[holder] -= bytes;
    budget->used -= bytes;
}
