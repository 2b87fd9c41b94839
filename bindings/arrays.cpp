#include "arrays.h"

#include "../cuda/core/error.h"

#include <algorithm>
#include <map>

namespace {

#ifdef ALEXNET_RAW_CUDA
constexpr const char* kInterface = "__cuda_array_interface__";
constexpr const char* kKind = "a CUDA array (CuPy)";
#else
constexpr const char* kInterface = "__array_interface__";
constexpr const char* kKind = "a NumPy array";
#endif

std::string text(const std::vector<index_t>& shape) {
    std::string s = "(";
    for (size_t i = 0; i < shape.size(); ++i) s += (i ? ", " : "") + std::to_string(shape[i]);
    return s + (shape.size() == 1 ? ",)" : ")");
}

std::string joined(const std::vector<std::string>& choices) {
    std::string s;
    for (const std::string& choice : choices) s += (s.empty() ? "" : " or ") + choice;
    return s;
}

std::string dtype_name(const std::string& typestr) {
    static const std::map<std::string, std::string> names = {
        {"<f4", "float32"}, {"<f8", "float64"},  {"<f2", "float16"},
        {"<i4", "int32"},   {"<V2", "bfloat16"}, {"<i8", "int64"},
        {"|u1", "uint8"},   {"|i1", "int8"},     {"|b1", "bool"}};
    const auto found = names.find(typestr);
    return found == names.end() ? "dtype '" + typestr + "'" : found->second;
}

index_t item_size(const std::string& dtype) {
    return dtype == "uint8" ? 1 : dtype == "bfloat16" ? 2 : 4;
}

ArrayArgument writable(ArrayArgument a) {
    if (a.read_only) throw py::value_error(std::string(a.name) + " is written to, but is read-only");
    return a;
}

bool contiguous(const py::object& strides, const std::vector<index_t>& shape, index_t item) {
    if (strides.is_none()) return true;
    const auto given = strides.cast<std::vector<index_t>>();
    if (given.size() != shape.size()) return false;
    for (size_t i = shape.size(); i-- > 0; item *= shape[i])
        if (shape[i] != 1 && given[i] != item) return false;
    return true;
}

}  // namespace

index_t ArrayArgument::size() const {
    index_t n = 1;
    for (index_t d : shape) n *= d;
    return n;
}

index_t ArrayArgument::bytes() const {
    return size() * item_size(dtype);
}

std::string ArrayArgument::describe() const {
    return std::string(name) + " " + text(shape) + " " + dtype;
}

ArrayArgument array_argument(const py::handle& object, const char* name, const char* dtype,
                             const std::vector<int>& dimensions) {
    return array_argument(object, name, std::vector<std::string>{dtype}, dimensions);
}

ArrayArgument array_argument(const py::handle& object, const char* name,
                             const std::vector<std::string>& dtypes,
                             const std::vector<int>& dimensions) {
    const std::string who = name;
    if (!py::hasattr(object, kInterface))
        throw py::type_error(who + " must be " + kKind + ", got " +
                             py::type::of(object).attr("__name__").cast<std::string>());
    ArrayArgument a;
    a.name = name;
    a.device = 0;
    py::object strides = py::none();
    try {
        const py::dict interface = object.attr(kInterface);
        a.shape = interface["shape"].cast<std::vector<index_t>>();
        a.dtype = dtype_name(interface["typestr"].cast<std::string>());
        const auto data = interface["data"].cast<py::tuple>();
        a.data_ = reinterpret_cast<void*>(data[0].cast<uintptr_t>());
        a.read_only = data[1].cast<bool>();
        if (interface.contains("strides")) strides = interface["strides"];
    } catch (const std::exception& error) {
        throw py::type_error(who + " has a " + kInterface + " that cannot be used: " + error.what());
    }
    if (std::find(dtypes.begin(), dtypes.end(), a.dtype) == dtypes.end())
        throw py::type_error(who + " must be " + joined(dtypes) + ", got " + a.dtype + " " +
                             text(a.shape));
    bool known = dimensions.empty();
    std::vector<std::string> wanted;
    for (int d : dimensions) {
        known = known || a.shape.size() == size_t(d);
        wanted.push_back(std::to_string(d));
    }
    if (!known)
        throw py::value_error(who + " must have " + joined(wanted) + " dimensions, got " +
                              text(a.shape));
    index_t elements = 1;
    for (index_t d : a.shape) {
        if (d <= 0) throw py::value_error(who + " is empty: its shape is " + text(a.shape));
        if (d >= (index_t(1) << 31) / elements)
            throw py::value_error(who + " " + text(a.shape) +
                                  " has 2^31 elements or more: use a smaller batch");
        elements *= d;
    }
    if (!a.data_ || reinterpret_cast<uintptr_t>(a.data_) % uintptr_t(item_size(a.dtype)))
        throw py::value_error(who + " is not aligned: pass a copy of it");
    if (!contiguous(strides, a.shape, item_size(a.dtype)))
        throw py::value_error(who + " " + text(a.shape) +
                              " must be C-contiguous: pass numpy.ascontiguousarray(...) of it");
    return a;
}

ArrayArgument activations(const py::handle& object, const char* name,
                          const std::vector<int>& dimensions) {
    return array_argument(object, name, {"float32", "bfloat16"}, dimensions);
}

ArrayArgument output(const py::handle& object, const char* name, const std::vector<int>& dimensions,
                     const char* dtype) {
    return writable(array_argument(object, name, dtype, dimensions));
}

ArrayArgument activations_output(const py::handle& object, const char* name,
                                 const std::vector<int>& dimensions) {
    return writable(activations(object, name, dimensions));
}

void check_shape(const ArrayArgument& array, const std::vector<index_t>& wanted, const char* why) {
    if (array.shape != wanted)
        throw py::value_error(array.describe() + " must have shape " + text(wanted) + ": " + why);
}

void check_same_shape(const ArrayArgument& a, const ArrayArgument& b) {
    if (a.shape != b.shape)
        throw py::value_error(a.describe() + " and " + b.describe() + " must have the same shape");
}

void check_same_dtype(const std::vector<const ArrayArgument*>& arrays) {
    for (const ArrayArgument* a : arrays)
        if (a->dtype != arrays[0]->dtype)
            throw py::type_error(arrays[0]->describe() + " and " + a->describe() +
                                 " must have the same dtype");
}

void check_no_overlap(const ArrayArgument& out, std::initializer_list<const ArrayArgument*> others) {
    const auto* begin = static_cast<const char*>(out.data_);
    for (const ArrayArgument* other : others) {
        const auto* start = static_cast<const char*>(other->data_);
        if (begin < start + other->bytes() && start < begin + out.bytes())
            throw py::value_error(std::string(out.name) + " and " + other->name +
                                  " overlap in memory: this op cannot work in place");
    }
}

void check_apart(const std::vector<const ArrayArgument*>& arrays) {
    auto sorted = arrays;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](auto* a, auto* b) { return a->data_ < b->data_; });
    for (size_t i = 1; i < sorted.size(); ++i) check_no_overlap(*sorted[i - 1], {sorted[i]});
}

void check_same_or_apart(const ArrayArgument& a, const ArrayArgument& b) {
    if (a.as<void>() != b.as<void>() || a.dtype != b.dtype) check_no_overlap(a, {&b});
}

void check_setting(bool ok, const std::string& message) {
    if (!ok) throw py::value_error(message);
}

Neuron neuron_argument(const py::tuple& neuron) {
    static const std::map<std::string, NeuronKind> kinds = {
        {"ident", NeuronKind::ident},       {"relu", NeuronKind::relu},
        {"tanh", NeuronKind::tanh},         {"logistic", NeuronKind::logistic},
        {"softrelu", NeuronKind::softrelu}, {"abs", NeuronKind::abs},
        {"square", NeuronKind::square},     {"sqrt", NeuronKind::sqrt},
        {"brelu", NeuronKind::brelu},       {"linear", NeuronKind::linear},
        {"drelu", NeuronKind::drelu}};
    const auto name = neuron[0].cast<std::string>();
    const auto found = kinds.find(name);
    if (found == kinds.end()) {
        std::string known;
        for (const auto& kind : kinds) known += (known.empty() ? "" : ", ") + kind.first;
        check_setting(false, "neuron '" + name + "' is not one of " + known);
    }
    return {found->second, neuron[1].cast<float>(), neuron[2].cast<float>()};
}

Neuron fused_neuron_argument(const py::tuple& neuron) {
    const Neuron f = neuron_argument(neuron);
    check_setting(
        f.kind == NeuronKind::ident || f.kind == NeuronKind::relu || f.kind == NeuronKind::tanh,
        "this op handles the neurons ident, relu and tanh: run others as a pass of their own, "
        "with neuron_forward and neuron_backward");
    return f;
}

bool relu_below_argument(const py::tuple& below, bool accumulate) {
    const Neuron f = neuron_argument(below);
    check_setting(f.kind == NeuronKind::ident || f.kind == NeuronKind::relu,
                  "below may be ident or relu: run others as a pass of their own, neuron_backward");
    const bool is_relu = f.kind == NeuronKind::relu;
    check_setting(!accumulate || !is_relu,
                  "below has a gradient of its own, which accumulate cannot add to: leave one out");
    return is_relu;
}

PhiloxStream philox_argument(const py::int_& seed, const py::int_& layer, const py::object& step,
                             const py::object& share, const ArrayArgument& out) {
    auto number = [](const py::int_& value, const char* name, int bits) {
        const uint64_t n = PyLong_AsUnsignedLongLong(value.ptr());
        const bool fits = !PyErr_Occurred() && (bits == 64 || n >> bits == 0);
        PyErr_Clear();
        check_setting(fits, std::string(name) + " must be between 0 and 2^" + std::to_string(bits) +
                                " - 1, got " + py::str(value).cast<std::string>());
        return n;
    };
    PhiloxStream draws{number(seed, "seed", 64), uint32_t(number(layer, "layer", 32)), 0};
    if (py::isinstance<py::int_>(step)) {
        draws.step = uint32_t(number(step, "step", 32));
    } else {
        const ArrayArgument array = array_argument(step, "step", "int32", {1});
        check_shape(array, {1}, "it is one number");
        check_no_overlap(out, {&array});
        check_setting(array.device == out.device, "step and " + out.describe() + " are on two GPUs");
        draws.step_in_memory = array.as<uint32_t>();
    }
    if (!share.is_none()) {
        const auto [first, batch] = share.cast<std::pair<int, int>>();
        const index_t images = out.shape.empty() ? 1 : out.shape.back();
        check_setting(first >= 0 && first + images <= batch,
                      "share must have a place for the images of " + out.describe() + ", got (" +
                          std::to_string(first) + ", " + std::to_string(batch) + ")");
        if (images < batch) draws.share = {images, first, batch};
    }
    return draws;
}

float* scratch_memory(const py::function& scratch, index_t floats) {
    if (!floats) return nullptr;
    const ArrayArgument memory = output(scratch(floats), "scratch", {1});
    check_setting(memory.size() >= floats, memory.describe() + " is too small");
    return memory.f32();
}

void run_on_device([[maybe_unused]] const std::vector<const ArrayArgument*>& arrays) {
#ifdef ALEXNET_RAW_CUDA
    int device = -1;
    const char* first = nullptr;
    for (const ArrayArgument* a : arrays) {
        cudaPointerAttributes attributes{};
        if (cudaPointerGetAttributes(&attributes, a->as<void>()) != cudaSuccess ||
            attributes.type == cudaMemoryTypeUnregistered) {
            cudaGetLastError();
            throw py::value_error(std::string(a->name) + " does not point to CUDA memory");
        }
        if (device >= 0 && attributes.device != device)
            throw py::value_error(std::string(first) + " is on cuda:" + std::to_string(device) + ", " +
                                  a->name + " on cuda:" + std::to_string(attributes.device) +
                                  ": copy one of them first");
        device = attributes.device;
        first = a->name;
    }
    if (cudaSetDevice(device) != cudaSuccess)
        throw KernelError("cannot use cuda:" + std::to_string(device));
#endif
}
