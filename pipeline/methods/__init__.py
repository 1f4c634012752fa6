"""One file a paper; `METHODS` names them.

The values are module names, so that listing the methods imports none of them (and no torch).
"""

METHODS: dict[str, str] = {
    "actionclip": "vlp.pipeline.methods.actionclip",
    "ap_clip": "vlp.pipeline.methods.ap_clip",
    "ju2022": "vlp.pipeline.methods.ju2022",
    "linear_probe": "vlp.pipeline.methods.linear_probe",
    "motion_prompts": "vlp.pipeline.methods.motion_prompts",
    "residual_adapter": "vlp.pipeline.methods.residual_adapter",
    "tip_adapter": "vlp.pipeline.methods.tip_adapter",
    "tip_adapter_f": "vlp.pipeline.methods.tip_adapter_f",
    "zero_shot": "vlp.pipeline.methods.zero_shot",
}
