/* One value of the configuration, from text and to text. */
#ifndef P2PD_CONFIG_VALUE_H
#define P2PD_CONFIG_VALUE_H

#include "daemon/config/config.h"

#define CONFIG_VALUE_MAX CONFIG_HOST_MAX

/* How many values a key has: 0 or 1, or more for a repeatable one. */
size_t config_value_count(const struct config *config, const struct config_key *key);
/* Value `i` as it would be written in a file. */
void config_value_format(const struct config *config, const struct config_key *key, size_t i,
                         char ret_text[CONFIG_VALUE_MAX]);

#endif
