/* Threat: an environment with relative paths would put keys where the current folder happens to
 * be; as the XDG base directory specification says, such values are ignored. */
#include "shared/paths.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *absolute_env(const char *name) {
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

static int join(char *ret_path, size_t size, const char *folder, const char *rest) {
    char path[PATHS_MAX];
    int n = snprintf(path, sizeof path, "%s%s", folder, rest);
    if (n < 0 || (size_t)n >= sizeof path || (size_t)n >= size)
        return -ENAMETOOLONG;
    snprintf(ret_path, size, "%s", path);
    return 0;
}

/* Below init's services HOME is often unset. */
static const char *home(void) {
    const char *value = absolute_env("HOME");
    if (value)
        return value;
    const struct passwd *entry = getpwuid(geteuid());
    return entry && entry->pw_dir && entry->pw_dir[0] == '/' ? entry->pw_dir : NULL;
}

int paths_state(char *ret_path, size_t size) {
    if (geteuid() == 0)
        return join(ret_path, size, "/var/lib/p2pd", "");
    const char *folder = absolute_env("XDG_STATE_HOME");
    if (folder)
        return join(ret_path, size, folder, "/p2pd");
    folder = home();
    return folder ? join(ret_path, size, folder, "/.local/state/p2pd") : -ENOENT;
}

int paths_socket(char *ret_path, size_t size) {
    char state[PATHS_MAX];
    if (geteuid() == 0) /* Linux has /run; macOS and the BSDs have the older name alone */
        return join(ret_path, size, access("/run", F_OK) == 0 ? "/run" : "/var/run",
                    "/p2pd/p2pd.sock");
    const char *folder = absolute_env("XDG_RUNTIME_DIR");
    if (folder)
        return join(ret_path, size, folder, "/p2pd.sock");
    int error = paths_state(state, sizeof state);
    return error < 0 ? error : join(ret_path, size, state, "/p2pd.sock");
}
