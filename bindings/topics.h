// One function per topic; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

void bind_neuron(pybind11::module_& m);
