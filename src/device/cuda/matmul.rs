//! Linear layers by cuBLASLt.

use cudarc::cublaslt::sys::cublasLtEpilogue_t as Epilogue;

use super::batch::bucket;
use super::blas::{Call, Key};
use super::context::Cuda;
use super::element::Element;
use super::memory::DeviceRows;
use super::rows::{activate, glu};
use super::weights::DeviceLinear;
use crate::base::error::{Error, Result};
use crate::device::cpu::ops::Activation;

/// out becomes `activation(x W^T + b)`. x: `[n, inputs]`; out: `[n, outputs]`.
///
/// cuBLASLt adds the bias and computes relu and the tanh form of gelu in its epilogue. The others
/// take another pass through memory, which also adds the bias.
pub fn linear<T: Element>(
    cuda: &Cuda,
    layer: &DeviceLinear<T>,
    x: &DeviceRows<T>,
    activation: Activation,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    let bias = layer.bias.as_ref();
    let epilogue = match (activation, bias.is_some()) {
        (Activation::None, false) => Epilogue::CUBLASLT_EPILOGUE_DEFAULT,
        (Activation::None, true) => Epilogue::CUBLASLT_EPILOGUE_BIAS,
        (Activation::Relu, false) => Epilogue::CUBLASLT_EPILOGUE_RELU,
        (Activation::Relu, true) => Epilogue::CUBLASLT_EPILOGUE_RELU_BIAS,
        (Activation::GeluTanh, false) => Epilogue::CUBLASLT_EPILOGUE_GELU,
        (Activation::GeluTanh, true) => Epilogue::CUBLASLT_EPILOGUE_GELU_BIAS,
        (Activation::Gelu | Activation::Silu | Activation::Tanh, _) => {
            product(cuda, layer, x, Epilogue::CUBLASLT_EPILOGUE_DEFAULT, out)?;
            return activate(cuda, out, bias, activation);
        }
    };
    product(cuda, layer, x, epilogue, out)
}

/// out becomes `activation(gate) * up` of a layer that computes both. x: `[n, inputs]`; gate_up,
/// the layer's output: `[n, 2 * d]`, the gate first; out: `[n, d]`.
pub fn gated_linear<T: Element>(
    cuda: &Cuda,
    layer: &DeviceLinear<T>,
    x: &DeviceRows<T>,
    activation: Activation,
    gate_up: &mut DeviceRows<T>,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    product(cuda, layer, x, Epilogue::CUBLASLT_EPILOGUE_DEFAULT, gate_up)?;
    glu(cuda, gate_up, layer.bias.as_ref(), activation, out)
}

fn product<T: Element>(
    cuda: &Cuda,
    layer: &DeviceLinear<T>,
    x: &DeviceRows<T>,
    epilogue: Epilogue,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    assert_eq!(x.d(), layer.inputs(), "inputs of a linear layer");
    assert_eq!((out.n(), out.d()), (x.n(), layer.outputs()), "outputs of a linear layer");
    if x.n() == 0 {
        return Ok(());
    }
    let call = Call {
        key: Key {
            outputs: layer.outputs(),
            inputs: layer.inputs(),
            tokens: bucket(x.n()),
            epilogue,
            element: T::CUDA,
        },
        tokens: x.n(),
        weight: layer.weight.pointer(cuda),
        bias: layer.bias.as_ref().map_or(0, |bias| bias.pointer(cuda)),
        x: x.pointer(cuda),
        out: out.pointer(cuda),
    };
    cuda.bind()?;
    // SAFETY: the shapes were checked above, and `pointer` that the buffers are of this device,
    // which has one stream to run on.
    let multiplied = unsafe { cuda.blas.multiply(&call, cuda.queue()) }.or_else(|error| {
        // The algorithm for the bucket may not support fewer tokens.
        let exact = Key { tokens: call.tokens, ..call.key };
        if exact == call.key {
            return Err(error);
        }
        // SAFETY: as above.
        unsafe { cuda.blas.multiply(&Call { key: exact, ..call }, cuda.queue()) }
    });
    multiplied.map_err(|error| {
        // If the device is lost, the driver reports it more precisely than cuBLASLt.
        let lost = cuda.synchronize().err();
        lost.unwrap_or_else(|| Error::library("cuBLASLt", "multiply")(error))
    })
}
