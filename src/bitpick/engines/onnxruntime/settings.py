"""The session settings that recipes and builds may have.

Both may come from someone else, so none of these names a file, loads a library or runs code.
"""

from __future__ import annotations

# Otherwise the runtime quantizes float weights of layers with quantized neighbours when it opens a graph.
KEEP_FLOAT_WEIGHTS = {"optimization.disable_specified_optimizers": "WeightBiasQuantization"}
SETTINGS = frozenset(
    {
        "mlas.disable_kleidiai",
        "mlas.enable_gemm_fastmath_arm64_bfloat16",
        "mlas.qnbit.force_fp32",
        "mlas.use_lut_gemm",
        *KEEP_FLOAT_WEIGHTS,
        "optimization.enable_cast_chain_elimination",
        "optimization.enable_gelu_approximation",
        "session.disable_aot_function_inlining",
        "session.disable_double_qdq_remover",
        "session.disable_prepacking",
        "session.disable_qdq_constant_folding",
        "session.disable_quant_qdq",
        "session.dynamic_block_base",
        "session.enable_dq_matmulnbits_fusion",
        "session.enable_quant_qdq_cleanup",
        "session.qdq_matmulnbits_accuracy_level",
        "session.qdq_matmulnbits_block_size",
        "session.qdqisint8allowed",
        "session.set_denormal_as_zero",
        "session.x64quantprecision",
    }
)
