/* The snapshot that this program starts with, as it is (edge-imprint firmware generate --state). */
    .section .rodata.eimp_state, "a"
    .balign 4
    .global eimp_state_start
    .global eimp_state_end
eimp_state_start:
    .incbin "app/state.eimp"
eimp_state_end:
