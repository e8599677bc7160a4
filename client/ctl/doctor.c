/* p2pctl doctor: what is wrong when nothing arrives, and what to do about it. */
#include "client/common/output.h"
#include "client/common/words.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"

#include <stdio.h>
#include <string.h>

struct visit {
    const struct context *context;
    bool trouble;
};

static void print_text(const struct context *context, const P2pd__Control__Finding *finding) {
    if (finding->level == 0 && context->options.quiet)
        return;
    printf("%-8s", words_level(finding->level));
    output_escaped((const uint8_t *)finding->topic, strlen(finding->topic));
    printf(": ");
    output_escaped((const uint8_t *)finding->text, strlen(finding->text));
    printf("\n");
}

static void print_json(const P2pd__Control__Answer *answer) {
    struct json json = json_to_stdout();
    json_open(&json, '[');
    for (size_t i = 0; i < answer->n_findings; i++)
        json_message(&json, &answer->findings[i]->base);
    json_close(&json, ']');
    printf("\n");
}

static void print_findings(void *state, const P2pd__Control__Answer *answer) {
    struct visit *visit = state;
    if (visit->context->options.json)
        print_json(answer);
    for (size_t i = 0; i < answer->n_findings; i++) {
        const P2pd__Control__Finding *finding = answer->findings[i];
        visit->trouble = visit->trouble || finding->level >= WORDS_LEVEL_TROUBLE;
        if (!visit->context->options.json)
            print_text(visit->context, finding);
    }
}

enum exit_code doctor_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Doctor command = P2PD__CONTROL__DOCTOR__INIT;
    struct visit visit = {context, false};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_DOCTOR;
    request.doctor = &command;
    enum exit_code code = ask_run(context, &request, print_findings, &visit);
    return code == CODE_DONE && visit.trouble ? CODE_FAILED : code;
}
