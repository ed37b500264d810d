// SPDX-License-Identifier: GPL-3.0-or-later
// A plugin that does what a look-ahead limiter does to time: all comes out LATENCY samples late, and it says so.

#include <cmath>
#include <cstring>

#include "DistrhoPlugin.hpp"

START_NAMESPACE_DISTRHO

class Lookahead : public Plugin
{
public:
    Lookahead() : Plugin(1, 0, 0) { setLatency(LATENCY); }

protected:
    const char* getLabel() const override { return "Lookahead"; }
    const char* getMaker() const override { return "earwire"; }
    const char* getLicense() const override { return "GPL-3.0-or-later"; }
    uint32_t getVersion() const override { return d_version(1, 0, 0); }
    int64_t getUniqueId() const override { return d_cconst('e', 'w', 'L', 'a'); }

    void initParameter(uint32_t, Parameter& parameter) override
    {
        parameter.hints = kParameterIsAutomatable;
        parameter.name = "Gain";
        parameter.symbol = "gain";
        parameter.unit = "dB";
        parameter.ranges.def = 0.0f;
        parameter.ranges.min = -60.0f;
        parameter.ranges.max = 24.0f;
    }

    float getParameterValue(uint32_t) const override { return decibels; }
    void setParameterValue(uint32_t, float value) override { decibels = value; }

    void activate() override
    {
        std::memset(held, 0, sizeof held);
        at = 0;
    }

    void run(const float** inputs, float** outputs, uint32_t frames) override
    {
        const float ratio = std::pow(10.0f, decibels / 20.0f);
        for (uint32_t i = 0; i < frames; ++i, at = (at + 1) % LATENCY)
            for (uint32_t channel = 0; channel < CHANNELS; ++channel)
            {
                const float arrived = inputs[channel][i];  // hosts may hand the same memory in and out
                outputs[channel][i] = ratio * held[channel][at];
                held[channel][at] = arrived;
            }
    }

private:
    float decibels = 0.0f;
    float held[CHANNELS][LATENCY] = {};
    uint32_t at = 0;
};

Plugin* createPlugin()
{
    return new Lookahead();
}

END_NAMESPACE_DISTRHO
