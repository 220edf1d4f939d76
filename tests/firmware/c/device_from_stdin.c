/* The device of device_in_process.c on standard input and output, so that a sanitizer can watch a whole process. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct device device;
device *device_new(uint32_t dim, uint32_t budget, uint16_t max_proxies, uint8_t undo, uint16_t backbone_bytes,
                   uint16_t max_payload, uint32_t sectors, uint8_t ridge);
void device_receive(device *d, const uint8_t *bytes, size_t count);
size_t device_take(device *d, uint8_t *out, size_t most);
void device_free(device *d);

int main(void) {
    uint8_t bytes[4096];
    size_t count;
    device *d = device_new(16, 2048, 4, 2, 40, 96, 1, 0);
    if (!d) return 1;
    while ((count = fread(bytes, 1, sizeof bytes, stdin)) > 0) device_receive(d, bytes, count);
    while ((count = device_take(d, bytes, sizeof bytes)) > 0) fwrite(bytes, 1, count, stdout);
    device_free(d);
    return 0;
}
