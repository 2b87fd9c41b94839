// Pictures of few images by Winograd's algorithm: what winograd.cu calls (winograd_few_images.cu).
#pragma once

#include "epilogue.h"
#include "winograd_pass.h"

index_t winograd_few_images_workspace(const PicturesPass& pass);

// Multiply-adds for each of a filter's values, as winograd.cu counts them.
double winograd_few_images_filter_cost(const PicturesPass& pass);

// out (rows, height, width, images) and inp of one group; weights from the group's first filter on. The
// epilogue's biases are those of all groups, and row 0 is their first_row.
void winograd_few_images(float* out, const float* inp, const float* weights, float* workspace,
                         const PicturesPass& pass, int first_row, const Epilogue& epilogue,
                         Stream stream);
