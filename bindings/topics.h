// One function per topic; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

void bind_neuron(pybind11::module_& m);
void bind_philox(pybind11::module_& m);
void bind_dropout(pybind11::module_& m);
void bind_softmax(pybind11::module_& m);
void bind_logloss(pybind11::module_& m);
void bind_sgd(pybind11::module_& m);
void bind_augment(pybind11::module_& m);
