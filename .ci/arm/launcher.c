/* Takes the place of a root's Python: the host's kernel runs this native program, which runs the ARM Python in QEMU.
 *
 * So a Python inside the root can start another one by sys.executable or by a script's first line, and nothing has to be
 * registered with the kernel. Linked statically, because the root holds no native library. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* PYTHON: the path that this program is found by; the ARM program lies beside it with ".arm" appended. */
int main(int argc, char **argv) {
    static char *const before[] = {"/usr/bin/qemu", "-0", PYTHON, PYTHON ".arm"};
    enum { COUNT = sizeof before / sizeof before[0] };
    char **command = calloc((size_t)argc + COUNT, sizeof *command);
    if (command == NULL) {
        perror(PYTHON);
        return 127;
    }
    for (int i = 0; i < COUNT; i++) {
        command[i] = before[i];
    }
    for (int i = 1; i < argc; i++) {
        command[COUNT + i - 1] = argv[i];
    }
    execv(command[0], command); /* the CPU comes from QEMU_CPU; calloc left the closing NULL */
    perror(command[0]);
    return 127;
}
