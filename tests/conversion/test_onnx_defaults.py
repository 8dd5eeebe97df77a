from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.conversion import onnx_defaults


@pytest.mark.parametrize(("said", "bins"), [("", 33), ("<onesided=1>", 33), ("<onesided=0>", 64)])
def test_the_shape_that_is_inferred_is_the_one_that_is_computed(said, bins):
    text = f"(float[n,256,1] x) => (float[n,f,b,2] y) {{ y = STFT{said}(x, step, window) }}"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g {text}')
    for name, array in {"step": np.array(32), "window": np.hanning(64).astype(np.float32)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx_defaults.spell_out(model)
    inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape
    assert [each.dim_value for each in inferred.dim][1:] == [7, bins, 2]
