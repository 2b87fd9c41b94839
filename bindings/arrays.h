// What stands between Python's arrays and raw pointers: every check that a launcher relies on.
//
// An op's arguments arrive as objects with NumPy's __array_interface__ (CPU target) or CuPy's
// __cuda_array_interface__ (CUDA target); both are the same dictionary. Arguments are rejected with
// messages that name them: TypeError for a wrong kind or dtype, ValueError for shape, layout, overlap.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "../cuda/core/bf16.h"
#include "../cuda/kernels/ops.h"

namespace py = pybind11;

class ArrayArgument {
   public:
    const char* name;
    std::vector<index_t> shape;
    std::string dtype;  // "float32", "bfloat16", "int32", "uint8"
    bool read_only;
    int device;  // CUDA ordinal; 0 on the CPU target

    template <class T>
    T* as() const {
        return static_cast<T*>(data_);
    }
    float* f32() const { return as<float>(); }
    index_t size() const;
    index_t bytes() const;
    int dim(size_t i) const { return int(shape[i]); }
    bool is_aligned() const { return reinterpret_cast<uintptr_t>(data_) % 16 == 0; }
    std::string describe() const;  // "inp (3, 5, 5, 2) float32"

    friend ArrayArgument array_argument(const py::handle&, const char*, const std::vector<std::string>&,
                                        const std::vector<int>&);
    friend void check_no_overlap(const ArrayArgument&, std::initializer_list<const ArrayArgument*>);
    friend void check_apart(const std::vector<const ArrayArgument*>&);

   private:
    void* data_;
};

// Reads a C-contiguous, non-empty array of fewer than 2^31 elements with one of the given dtypes and
// one of the given numbers of dimensions (none given: any).
ArrayArgument array_argument(const py::handle& object, const char* name,
                             const std::vector<std::string>& dtypes,
                             const std::vector<int>& dimensions = {});
ArrayArgument array_argument(const py::handle& object, const char* name, const char* dtype,
                             const std::vector<int>& dimensions = {});

inline ArrayArgument input(const py::handle& object, const char* name,
                           const std::vector<int>& dimensions = {}) {
    return array_argument(object, name, "float32", dimensions);
}
// As input, but float32 or bfloat16: activations and their gradients. See with_storage.
ArrayArgument activations(const py::handle& object, const char* name,
                          const std::vector<int>& dimensions = {});
// As these, and writable.
ArrayArgument activations_output(const py::handle& object, const char* name,
                                 const std::vector<int>& dimensions = {});
// As input, and writable.
ArrayArgument output(const py::handle& object, const char* name,
                     const std::vector<int>& dimensions = {}, const char* dtype = "float32");

// The sizes of a (channels, height, width, images) array.
inline MapSizes map_sizes(const ArrayArgument& array) {
    return {array.dim(0), array.dim(1), array.dim(2), array.dim(3)};
}

void check_shape(const ArrayArgument& array, const std::vector<index_t>& wanted, const char* why);
void check_same_shape(const ArrayArgument& a, const ArrayArgument& b);
void check_no_overlap(const ArrayArgument& out, std::initializer_list<const ArrayArgument*> others);
void check_apart(const std::vector<const ArrayArgument*>& arrays);  // that no two overlap
void check_same_dtype(const std::vector<const ArrayArgument*>& arrays);
// For elementwise ops: `a` and `b` may be the same array, but not overlap otherwise.
void check_same_or_apart(const ArrayArgument& a, const ArrayArgument& b);
void check_setting(bool ok, const std::string& message);  // ValueError

// Calls use(S()), where S is what the elements of an array of activations are: float or bf16.
template <class Use>
void with_storage(const ArrayArgument& array, const Use& use) {
    if (array.dtype == "bfloat16")
        use(bf16());
    else
        use(float());
}

// ("relu", a, b), as alexnet_raw.neuron.Neuron gives it: of any kind, or of those that run inside
// other kernels.
Neuron neuron_argument(const py::tuple& neuron);
Neuron fused_neuron_argument(const py::tuple& neuron);
// Whether the layer below has a relu, whose gradient an op computes with its own (ops.h); not as an
// addition.
bool relu_below_argument(const py::tuple& below, bool accumulate);

// A stream of random numbers: seed below 2^64, layer and step below 2^32; or the step is what an int32
// array of one element, beside `out`, holds when the kernel runs. share: None, or (first, batch), where
// the images of `out`, its last dimension, are those from `first` on of a batch of so many.
PhiloxStream philox_argument(const py::int_& seed, const py::int_& layer, const py::object& step,
                             const py::object& share, const ArrayArgument& out);

// Memory for partial sums: scratch(floats) is called where a launcher needs some.
float* scratch_memory(const py::function& scratch, index_t floats);

// Runs a launcher on the arrays' device and on `stream`, without the GIL.
void run_on_device(const std::vector<const ArrayArgument*>& arrays);
template <class Launcher>
void run(const std::vector<const ArrayArgument*>& arrays, uintptr_t stream, Launcher launcher) {
    run_on_device(arrays);
    py::gil_scoped_release release;
    launcher(reinterpret_cast<Stream>(stream));
}
