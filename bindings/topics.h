// One function per topic; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

void bind_conv(pybind11::module_& m);
void bind_local(pybind11::module_& m);
void bind_neuron(pybind11::module_& m);
void bind_noisy_relu(pybind11::module_& m);
void bind_bias(pybind11::module_& m);
void bind_lrn(pybind11::module_& m);
void bind_rnorm(pybind11::module_& m);
void bind_cnorm(pybind11::module_& m);
void bind_pool(pybind11::module_& m);
void bind_lrn_pool(pybind11::module_& m);
void bind_eltmax(pybind11::module_& m);
void bind_channels(pybind11::module_& m);
void bind_random_pool(pybind11::module_& m);
void bind_blur(pybind11::module_& m);
void bind_resize(pybind11::module_& m);
void bind_mirror(pybind11::module_& m);
void bind_color(pybind11::module_& m);
void bind_add(pybind11::module_& m);
void bind_philox(pybind11::module_& m);
void bind_dropout(pybind11::module_& m);
void bind_softmax(pybind11::module_& m);
void bind_logloss(pybind11::module_& m);
void bind_output_cost(pybind11::module_& m);
void bind_tica(pybind11::module_& m);
void bind_multi_softmax(pybind11::module_& m);
void bind_limit_norms(pybind11::module_& m);
void bind_sgd(pybind11::module_& m);
void bind_put(pybind11::module_& m);
void bind_augment(pybind11::module_& m);
void bind_pictures(pybind11::module_& m);  // the CPU target only
