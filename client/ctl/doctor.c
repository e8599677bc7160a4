/* p2pctl doctor: what is wrong when nothing arrives, and what to do about it. */
#include "client/common/output.h"
#include "client/ctl/session.h"

#include <stdio.h>
#include <string.h>

#define LEVEL_TROUBLE 2

struct visit {
    const struct context *context;
    bool trouble;
};

static const char *level_word(uint32_t level) {
    static const char *const words[] = {"ok", "note", "trouble"};
    return words[level < LEVEL_TROUBLE ? level : LEVEL_TROUBLE];
}

static void print_findings(void *state, const P2pd__Control__Answer *answer) {
    struct visit *visit = state;
    bool json = visit->context->options.json;
    printf("%s", json ? "[" : "");
    for (size_t i = 0; i < answer->n_findings; i++) {
        const P2pd__Control__Finding *finding = answer->findings[i];
        visit->trouble = visit->trouble || finding->level >= LEVEL_TROUBLE;
        if (json) {
            printf("%s{\"level\":\"%s\",\"topic\":", i ? "," : "", level_word(finding->level));
            json_string(finding->topic);
            printf(",\"text\":");
            json_string(finding->text);
            printf("}");
        } else if (finding->level > 0 || !visit->context->options.quiet) {
            printf("%-8s", level_word(finding->level));
            output_escaped((const uint8_t *)finding->topic, strlen(finding->topic));
            printf(": ");
            output_escaped((const uint8_t *)finding->text, strlen(finding->text));
            printf("\n");
        }
    }
    printf("%s", json ? "]\n" : "");
}

enum exit_code doctor_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Doctor command = P2PD__CONTROL__DOCTOR__INIT;
    struct visit visit = {context, false};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_DOCTOR;
    request.doctor = &command;
    enum exit_code code = session_run(context, &request, print_findings, &visit);
    return code == CODE_DONE && visit.trouble ? CODE_FAILED : code;
}
