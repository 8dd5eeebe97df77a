"""litert-quantizer: static quantization, signed 8-bit activations, integer inputs and outputs.

`moving_average` is what its `Quantizer.calibrate` does: ranges that are moving averages over the samples. The others
take the whole range of the samples (`min_max_update`, which its `Calibrator` accepts), and differ in the weights:
`minmax` scales each channel by its maximum; `mse` and `octav` choose scales of less error. What it
has for rounding, GPTQ, takes fully connected layers alone, of which these networks have one, the last.
"""

from __future__ import annotations

from ai_edge_litert.interpreter import Interpreter
from job import Job, run
from litert_quantizer import calibrator, quantizer, recipe_manager
from litert_quantizer.algorithm_manager import AlgorithmName
from litert_quantizer.qtyping import TFLOperationName
from litert_quantizer.utils import qsv_utils

WEIGHTED = (TFLOperationName.CONV_2D, TFLOperationName.FULLY_CONNECTED)
SCALES = {"mse": AlgorithmName.MSE, "octav": AlgorithmName.OCTAV}


def quantize(job: Job) -> tuple[str, ...]:
    source = str(job.inputs / "model.tflite")
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, 8, 8)
    for kind in WEIGHTED:
        algorithm = SCALES.get(job.algorithm, AlgorithmName.MIN_MAX_UNIFORM_QUANT)
        recipe.add_static_config(".*", kind, 8, job.bits, algorithm_key=algorithm)
    (signature, ends), *_ = Interpreter(model_path=source).get_signature_list().items()
    samples = [{ends["inputs"][0]: image} for image in job.batches(1)]
    averaged = job.algorithm == "moving_average"
    update = qsv_utils.moving_average_update if averaged else qsv_utils.min_max_update
    collector = calibrator.Calibrator(source, num_threads=1, qsv_update_func=update)
    collector.calibrate({signature: samples}, recipe)
    library = quantizer.Quantizer(source, recipe.get_quantization_recipe())
    library.quantize(collector.get_model_qsvs()).export_model(str(job.out / "model.tflite"))
    return "model.tflite", "model.tflite"


if __name__ == "__main__":
    run(quantize)
