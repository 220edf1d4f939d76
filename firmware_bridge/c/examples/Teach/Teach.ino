// Teach a board two gestures of four numbers each, then ask it. Open the serial monitor at 115,200 baud.
#include <eimp_head.h>

static const uint32_t DIM = 4;
static uint64_t arena[512];  // 4 KB: a budget of 2 KB and working memory
static eimp_head *head;

static int learn(const char *name, const int16_t *embedding) {
    eimp_label label;
    const int status = eimp_label_from_text(name, strlen(name), &label);
    return status == EIMP_OK ? eimp_learn(head, &label, embedding) : status;
}

void setup() {
    Serial.begin(115200);
    eimp_config config = {};
    config.dim = DIM;
    config.budget = 2048;
    config.false_accept_ppm = 50000;
    config.max_proxies = 21;
    config.shrinkage = 20;
    config.undo = EIMP_UNDO_AUTO;
    int status = eimp_init(arena, sizeof arena, &config, &head);
    const int16_t left[2][4] = {{900, 100, -50, 20}, {850, 140, -30, 0}};
    const int16_t right[2][4] = {{-40, 80, 950, 60}, {10, 120, 880, 90}};
    for (int shot = 0; shot < 2 && status == EIMP_OK; shot++) {
        status = learn("left", left[shot]);
        if (status == EIMP_OK) status = learn("right", right[shot]);
    }
    if (status != EIMP_OK) {
        Serial.print("error ");
        Serial.println(status);  // eimp_protocol.h says which
    }
}

void loop() {
    const int16_t now[4] = {870, 90, -20, 10};  // your sensor's embedding
    eimp_answer answer;
    if (eimp_predict(head, now, &answer) == EIMP_OK) {
        static const char *const verdicts[] = {"unknown", "uncertain", "known"};
        Serial.write(answer.label.bytes + 1, answer.label.bytes[0] & 0x7F);
        Serial.print(": ");
        Serial.println(verdicts[answer.verdict]);
    }
    delay(1000);
}
