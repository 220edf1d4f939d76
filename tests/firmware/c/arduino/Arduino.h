/* As much of Arduino as the sketches use, on a PC: the serial monitor is standard output. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct Monitor {
    void begin(long) {}
    void print(const char *text) { printf("%s", text); }
    void println(const char *text) { printf("%s\n", text); }
    void println(int number) { printf("%d\n", number); }
    void write(const uint8_t *bytes, size_t count) { fwrite(bytes, 1, count, stdout); }
};

static Monitor Serial;
static inline void delay(unsigned long) {}
void setup();
void loop();

int main() {
    setup();
    loop();
    return 0;
}
