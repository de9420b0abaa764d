/* main: the first word chooses the command; everything else is in its row (cli/command.h). */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/out.h"

static err_code dispatch(int argc, char **argv, err *e) {
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        command_print_help(NULL, e);
        return err_set(e, ERR_USAGE, "a command is missing");
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return command_print_help(NULL, e);
    if (strcmp(word, "--version") == 0) {
        out_printf("loam %s\n", LOAM_VERSION);
        return ERR_OK;
    }
    if (word[0] == '-')
        return err_set(e, ERR_USAGE, "no option %s before a command (loam help lists the commands)", word);
    const command *c = command_find(str_from(word));
    return c ? command_run_with(c, argc - 2, argv + 2, e) : command_unknown(str_from(word), e);
}

/* A model is read from a mapping: when its file shrinks meanwhile, or its disk fails, the system says so by a signal.
 * Nothing is left to save; one line says why. */
static void file_vanished(int signal_number) {
    (void)signal_number;
    static const char line[] =
        "loam: the model's file was cut short or could not be read while in use (fetch it again)\n";
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
    (void)ignored;
    _exit(1);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_DFL); /* the reader of our output has enough: end quietly, whatever the parent had set */
    signal(SIGXFSZ, SIG_IGN); /* a file past `ulimit -f` is an error of writing, told and cleaned up after as others */
    signal(SIGBUS, file_vanished);
    err e = {0}, e_out = {0};
    err_code code = dispatch(argc, argv, &e);
    err_code out = out_close(&e_out);
    if (code != ERR_OK && code != ERR_CANCELLED)
        out_error(&e);
    else if (code == ERR_OK && out != ERR_OK) {
        out_error(&e_out);
        code = out;
    }
    return command_exit_status(code);
}
